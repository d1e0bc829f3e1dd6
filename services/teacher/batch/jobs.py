"""Batches on disk: how far each is, and what it came to.

A batch goes `created` (its requests are stored) → `uploaded` (the upstream has the file) → `submitted` (the upstream has the
batch) → `fetching` (the upstream is done; results are being booked) → `done`. Each step is written down after it was made, and
can be made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from sqlite3 import Connection
from typing import Literal

from askback.contracts.errors import NotFound
from askback.contracts.teacher import BatchError, BatchState
from services.teacher.batch.upstream import UpstreamBatch
from services.teacher.money.ledger import PICO
from services.teacher.storage.database import Database

Step = Literal["created", "uploaded", "submitted", "fetching", "done"]
Outcome = Literal["", "completed", "failed", "expired", "cancelled"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, backend TEXT NOT NULL, model TEXT NOT NULL, run TEXT NOT NULL, requests INTEGER NOT NULL, cached INTEGER NOT NULL,
    duplicates INTEGER NOT NULL, sent INTEGER NOT NULL, created_at REAL NOT NULL, step TEXT NOT NULL, outcome TEXT NOT NULL,
    cancel_requested INTEGER NOT NULL, file_id TEXT NOT NULL, upstream_id TEXT NOT NULL, output_file_id TEXT NOT NULL, error_file_id TEXT NOT NULL,
    answered INTEGER NOT NULL, unusable INTEGER NOT NULL, failed INTEGER NOT NULL, cost INTEGER NOT NULL, finished_at REAL
);
CREATE TABLE IF NOT EXISTS batch_errors (
    batch TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, example TEXT NOT NULL, PRIMARY KEY (batch, kind)
) WITHOUT ROWID;
"""
_TALLY = "UPDATE batches SET answered = answered + ?, unusable = unusable + ?, failed = failed + ?, cost = cost + ? WHERE id = ?"
_ERROR = "INSERT INTO batch_errors (batch, kind, count, example) VALUES (?, ?, 1, ?) ON CONFLICT (batch, kind) DO UPDATE SET count = count + 1"
_SHOWN_ERRORS = 20
_LONGEST_KIND, _LONGEST_TEXT = 80, 300


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch. The fields are the columns of its row."""

    id: str
    backend: str
    model: str
    run: str
    requests: int
    cached: int
    duplicates: int
    sent: int
    created_at: float
    """Unix time in seconds."""
    step: Step = "created"
    outcome: Outcome = ""
    """How it ended upstream; set from `fetching` on."""
    cancel_requested: bool = False
    file_id: str = ""
    upstream_id: str = ""
    output_file_id: str = ""
    error_file_id: str = ""
    answered: int = 0
    unusable: int = 0
    failed: int = 0
    cost: int = 0
    """Booked so far, in 1e-12 dollars."""
    finished_at: float | None = None


@dataclass
class Tally:
    """What some rows of a batch came to."""

    answered: int = 0
    unusable: int = 0
    failed: int = 0
    cost: int = 0
    """In 1e-12 dollars."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    """(kind, text) of each failure."""


_COLUMNS = tuple(column.name for column in fields(BatchJob))
_INSERT = f"INSERT INTO batches ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM batches"  # noqa: S608


class BatchJobs:
    """All batches. What takes a connection is for use inside one transaction of `Database`; the other writes are durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def create(self, job: BatchJob) -> None:
        """Write a new batch down."""
        values = tuple(getattr(job, column) for column in _COLUMNS)
        await self._run(_INSERT, values)

    def get(self, identifier: str) -> BatchJob:
        """The batch `identifier`; raises NotFound."""
        rows = self._database.read(f"{_SELECT} WHERE id = ?", (identifier,))
        if not rows:
            raise NotFound(f"no batch {identifier[:80]!r}; GET /v1/batches lists those there are")
        return BatchJob(*rows[0])

    def all(self) -> list[BatchJob]:
        """All batches, the newest first."""
        return [BatchJob(*row) for row in self._database.read(f"{_SELECT} ORDER BY created_at DESC, id")]

    def unfinished(self) -> list[BatchJob]:
        """Those that are not `done`, the oldest first."""
        return [BatchJob(*row) for row in self._database.read(f"{_SELECT} WHERE step != 'done' ORDER BY created_at, id")]

    def state(self, job: BatchJob, problem: str = "") -> BatchState:
        """The batch as callers see it; `problem` is what keeps it from going on."""
        done = job.step == "done"
        shown = {name: getattr(job, name) for name in _COLUMNS if name in BatchState.model_fields}
        rows = self._database.read(
            "SELECT kind, count, example FROM batch_errors WHERE batch = ? ORDER BY count DESC, kind LIMIT ?", (job.id, _SHOWN_ERRORS)
        )
        return BatchState(
            **shown | {"cancel_requested": bool(job.cancel_requested)},
            status=job.outcome if done else job.step,  # type: ignore[arg-type]
            unanswered=job.sent - job.answered - job.unusable - job.failed if done else 0,
            errors=[BatchError(kind=kind, count=count, example=example) for kind, count, example in rows],
            cost_usd=job.cost / PICO,
            problem=problem,
        )

    async def request_cancel(self, identifier: str) -> None:
        """Note that the batch is wanted no more."""
        await self._run("UPDATE batches SET cancel_requested = 1 WHERE id = ?", (identifier,))

    async def uploaded(self, identifier: str, file_id: str) -> None:
        """The upstream has the file."""
        await self._run("UPDATE batches SET step = 'uploaded', file_id = ? WHERE id = ?", (file_id, identifier))

    async def submitted(self, identifier: str, upstream_id: str) -> None:
        """The upstream has the batch."""
        await self._run("UPDATE batches SET step = 'submitted', upstream_id = ? WHERE id = ?", (upstream_id, identifier))

    async def ended(self, identifier: str, batch: UpstreamBatch) -> None:
        """The upstream is done with the batch."""
        sql = "UPDATE batches SET step = 'fetching', outcome = ?, output_file_id = ?, error_file_id = ? WHERE id = ?"

        def write(connection: Connection) -> None:
            connection.execute(sql, (batch.status, batch.output_file_id, batch.error_file_id, identifier))
            _note(connection, identifier, batch.errors)

        await self._database.write(write)

    def add(self, connection: Connection, identifier: str, tally: Tally) -> None:
        """Count what some rows came to."""
        connection.execute(_TALLY, (tally.answered, tally.unusable, tally.failed, tally.cost, identifier))
        _note(connection, identifier, tally.errors)

    def finish(self, connection: Connection, identifier: str, outcome: Outcome, now: float) -> None:
        """The batch is over."""
        connection.execute("UPDATE batches SET step = 'done', outcome = ?, finished_at = ? WHERE id = ?", (outcome, now, identifier))

    async def _run(self, sql: str, values: Sequence[str | float | None]) -> None:
        def write(connection: Connection) -> None:
            connection.execute(sql, values)

        await self._database.write(write)


def _note(connection: Connection, identifier: str, errors: Sequence[tuple[str, str]]) -> None:
    connection.executemany(_ERROR, [(identifier, kind[:_LONGEST_KIND], text[:_LONGEST_TEXT]) for kind, text in errors])
