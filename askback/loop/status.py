"""How a run stands, read from its folder alone: no service is asked, nothing is written, and the run may be under way."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from askback.contracts.errors import NotFound
from askback.contracts.records import Example, HarvestRecord, HarvestStage, Record, Sample
from askback.contracts.spending import Spent, spent
from askback.loop.harvest import Row, rows_of
from askback.loop.stages import stages_in
from askback.loop.store import RunStore
from askback.loop.tracks import Selection, account


class StageStatus(Record):
    """One stage of the loop."""

    name: str
    complete: bool
    seconds: float | None = None
    """What it took the last time that it was begun; None while it is not complete."""


class Accounts(Record):
    """Where the questions are now: sampled = kept + dropped (by reason) + failed + pending, at every moment."""

    sampled: int
    kept: int
    dropped: dict[str, int]
    failed: int
    pending: int
    pending_after: dict[str, int]
    """The pending ones by the last step that is done; `rewrite` waits for the stage tracks, which keeps or drops."""


class ErrorKind(Record):
    """Rows whose step ended in the same class of error, with the first of them."""

    count: int
    sample_id: str
    example: str


class RunStatus(Record):
    """A run at one moment."""

    run_id: str
    stages: list[StageStatus]
    """In the order in which they are done."""
    accounts: Accounts
    spent: dict[str, Spent]
    """By step of the harvest, and `total`."""
    errors: dict[str, ErrorKind]
    """By step and class of error."""

    def as_text(self) -> str:
        """The status for a person: stages, questions, costs and errors, one line each."""
        stages = [[one.name, "complete" if one.complete else "-", f"{one.seconds:.1f} s" if one.complete else ""] for one in self.stages]
        spent = [
            [step, f"{one.records} records", f"{one.prompt_tokens} + {one.completion_tokens} tokens", f"${one.cost_usd:.4f}"]
            for step, one in self.spent.items()
        ]
        errors = [[kind, str(one.count), f"first {one.sample_id}: {one.example}"] for kind, one in self.errors.items()]
        parts = {f"run {self.run_id}": stages, "questions": _questions(self.accounts), "harvest": spent, "errors": errors}
        return "\n".join(line for title, table in parts.items() if table for line in (title, *_aligned(table)))


def status_of(store: RunStore) -> RunStatus:
    """The run as it is on disk now. Raises NotFound when there is no such run, InvalidInput for a line that cannot be read."""
    if not store.folder.is_dir():
        raise NotFound(f"run {store.run_id}: no folder {store.folder}; `ls {store.folder.parent}` shows the runs")
    manifests = {name: store.manifest(name) for name in stages_in(store)}
    records = store.peek_records("harvest.jsonl", HarvestRecord)
    rows = rows_of(store.peek_records("samples/train.jsonl", Sample), records)
    selected = _selected(store, manifests["tracks"], rows)
    return RunStatus(
        run_id=store.run_id,
        stages=[StageStatus(name=name, complete=body is not None, seconds=body["seconds"] if body else None) for name, body in manifests.items()],
        accounts=_accounts(rows, selected),
        spent=spent(records),
        errors=_errors(rows),
    )


def _selected(store: RunStore, manifest: Mapping[str, Any] | None, rows: Sequence[Row]) -> dict[str, Any]:
    """The account that the stage tracks left; empty before that stage is complete.

    Runs from before there were accounts say by their tracks alone what was kept.
    """
    if manifest is None or "questions" in manifest["counts"]:
        return dict(manifest["counts"]["questions"]) if manifest else {}
    kept = len({one.sample_id for one in store.peek_records("tracks/direct.jsonl", Example)})
    lost = sum(row.finished and not row.failed for row in rows) - kept
    return {"kept": kept, "dropped": {"reason not recorded": lost} if lost else {}, "pending": sum(not row.finished for row in rows)}


def _accounts(rows: Sequence[Row], selected: Mapping[str, Any]) -> Accounts:
    """Before the stage tracks is complete, no row is kept or dropped yet."""
    waiting = [row for row in rows if not (row.finished if selected else row.failed)]
    after = Counter(max(row.records, key=list(HarvestStage).index, default="sample") for row in waiting)
    counts = account(rows, Selection([], [], [])) | {"pending": len(waiting)} | dict(selected)
    return Accounts(**counts, pending_after={str(step): after[step] for step in ("sample", *HarvestStage) if step in after})


def _errors(rows: Iterable[Row]) -> dict[str, ErrorKind]:
    found: dict[str, ErrorKind] = {}
    for row in rows:
        for stage, record in row.records.items():
            if record.error:
                kind = f"{stage}: {record.error.split(':')[0]}"
                first = found.get(kind) or ErrorKind(count=0, sample_id=row.sample.id, example=record.error)
                found[kind] = first.model_copy(update={"count": first.count + 1})
    return found


def _questions(accounts: Accounts) -> list[list[str]]:
    dropped = [[f"dropped: {reason}", str(count)] for reason, count in accounts.dropped.items()]
    after = ", ".join(f"{step} {count}" for step, count in accounts.pending_after.items())
    pending = f"{accounts.pending} (by the last step done: {after})" if after else str(accounts.pending)
    ends = [["failed", str(accounts.failed)], ["pending", pending]]
    return [["sampled", str(accounts.sampled)], ["kept", str(accounts.kept)], *dropped, *ends]


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows of `table` as indented lines with columns of one width."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
