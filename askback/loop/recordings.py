"""Give the teacher service what its offline backends answer from: recorded answers, and the dataset's annotations."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from askback.contracts.client import TeacherClient
from askback.contracts.errors import InvalidInput
from askback.contracts.records import Sample
from askback.contracts.teacher import Recording, RecordingsRequest
from askback.loop.config import RunConfig
from askback.loop.patience import patiently
from askback.tasks import Task, task_named
from askback.tasks.datafile import read_rows

_BATCH = 500  # about a megabyte of text a request


def read_recordings(files: Iterable[Path], wanted: set[str]) -> list[Recording]:
    """Recorded answers to the questions in `wanted`; several answers to one question are numbered in file order."""
    counts: dict[str, int] = {}
    recordings = []
    for file in files:
        for place, row in read_rows(file):
            question_id = row.get("qid") or row.get("question_id") if isinstance(row, dict) else None
            if not question_id or not isinstance(row.get("completion"), str):
                raise InvalidInput(f"{place}: a recorded answer needs qid, question and completion")
            if question_id not in wanted:
                continue
            index = counts.get(question_id, 0)
            counts[question_id] = index + 1
            recordings.append(
                Recording(
                    question_id=question_id,
                    question=str(row.get("question", "")),
                    completion=row["completion"],
                    model=str(row.get("model", "recorded")),
                    sample_index=index,
                )
            )
    return recordings


def recording_files(config: RunConfig) -> list[Path]:
    """The configured files beside the local data; a dataset from the hub has none."""
    return [Path(config.data.path) / name for name in config.data.recordings] if config.data.path else []


def gold_recordings(task: Task, samples: Iterable[Sample]) -> list[Recording]:
    """The dataset's annotations as answers of the `gold` backend; rows without annotations have none."""
    return [
        Recording(question_id=sample.id, question=sample.question, completion=task.render_gold(sample), model="gold")
        for sample in samples
        if sample.facts
    ]


async def upload(teacher: TeacherClient, backend: str, recordings: Sequence[Recording]) -> int:
    """Store `recordings` for `backend`; storing them again changes nothing."""
    for start in range(0, len(recordings), _BATCH):
        request = RecordingsRequest(backend=backend, recordings=list(recordings[start : start + _BATCH]))
        await patiently(partial(teacher.record, request))
    return len(recordings)


async def prepare_teacher(config: RunConfig, samples: Sequence[Sample], teacher: TeacherClient) -> None:
    """Upload what the offline backends need for `samples`; raises InvalidInput when the wanted backend does not exist."""
    backends = {backend.name: backend for backend in (await patiently(teacher.backends)).backends}
    wanted = config.harvest.teacher
    if wanted not in backends:
        raise InvalidInput(f"harvest.teacher: the teacher service has no backend {wanted!r}; it has {', '.join(backends)}")
    if backends[wanted].missing and not backends[wanted].fallback:
        raise InvalidInput(f"harvest.teacher: backend {wanted!r} cannot answer: {backends[wanted].missing}")
    if "gold" in backends:
        await upload(teacher, "gold", gold_recordings(task_named(config.task), samples))
    if backends[wanted].kind == "replay":
        await upload(teacher, wanted, read_recordings(recording_files(config), {sample.id for sample in samples}))
