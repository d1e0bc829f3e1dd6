"""What earlier runs left behind, read without a lock and without mending anything, since a run may be writing."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from askback.contracts.records import Draft, HarvestRecord, HarvestStage

R = TypeVar("R", bound=BaseModel)


def lines_of(path: Path, kind: type[R]) -> Iterator[R]:
    """The whole lines of a JSONL file that are of `kind`; nothing where there is no file. Lines of other versions are passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        try:
            yield kind.model_validate_json(line)
        except ValidationError:
            continue


def harvests(runs: Path) -> list[Path]:
    """The harvests of all runs under `runs`, the newest last."""
    found = [path for path in runs.glob("*/harvest.jsonl") if path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_mtime, path))


def texts_of(files: Iterable[Path], wanted: set[str], clarify_version: str, backend: str) -> tuple[dict[str, Draft], dict[str, str]]:
    """(drafts, replies) by sample id from `files`, a later one going before an earlier one.

    Drafts are those made with the clarify prompt of `clarify_version`, replies those of `backend`.
    """
    drafts: dict[str, Draft] = {}
    replies: dict[str, str] = {}
    for file in files:
        for record in lines_of(file, HarvestRecord):
            if record.sample_id not in wanted:
                continue
            if record.stage is HarvestStage.DRAFT and record.draft and record.prompt_version == clarify_version:
                drafts[record.sample_id] = record.draft
            elif record.stage is HarvestStage.TEACHER and record.reply and record.backend == backend:
                replies[record.sample_id] = record.reply.text
    return drafts, replies
