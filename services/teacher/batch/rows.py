"""The open rows of all batches: requests that were bought and have no result yet. A row is deleted as its result is booked."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from sqlite3 import Connection

from services.teacher.answers.cache import Provenance
from services.teacher.storage.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch_rows (
    batch TEXT NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL, usd REAL NOT NULL,
    backend TEXT NOT NULL, request_hash TEXT NOT NULL, question_id TEXT NOT NULL, question TEXT NOT NULL, sample_index INTEGER NOT NULL,
    line BLOB NOT NULL, PRIMARY KEY (batch, number)
);
CREATE INDEX IF NOT EXISTS batch_rows_by_key ON batch_rows (key);
"""
_COLUMNS = "number, key, usd, backend, request_hash, question_id, question, sample_index"
_ADD = f"INSERT INTO batch_rows (batch, {_COLUMNS}, line) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_DROP = "DELETE FROM batch_rows WHERE batch = ? AND number = ?"
_SOME = 200  # rows in one transaction, so that other writers do not wait for long


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One request of a batch."""

    number: int
    """Its place in the batch, from 0."""
    key: str
    """The cache's key."""
    usd: float
    """The most dollars that it can cost."""
    provenance: Provenance
    line: bytes = b""
    """Its line in the upstream's file; empty where only the result is of interest."""


class BatchRows:
    """The open rows. Reads run on the event loop, each over some hundred rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def add(self, batch: str, rows: Sequence[BatchRow]) -> None:
        """Store the rows of a new batch; durable on return."""
        for start in range(0, len(rows), _SOME):
            values = [(batch, *_values(row)) for row in rows[start : start + _SOME]]
            await self._database.write(partial(_run_many, _ADD, values))

    def find(self, batch: str, numbers: Sequence[int]) -> list[BatchRow]:
        """Those of `numbers` that are open, without their lines."""
        marks = ", ".join("?" * len(numbers))
        rows = self._database.read(f"SELECT {_COLUMNS} FROM batch_rows WHERE batch = ? AND number IN ({marks})", (batch, *numbers))  # noqa: S608
        return [BatchRow(row[0], row[1], row[2], Provenance(*row[3:])) for row in rows]

    def under_way(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that a batch which is not over has open."""
        marks = ", ".join("?" * len(keys))
        sql = f"SELECT key FROM batch_rows JOIN batches ON id = batch WHERE step != 'done' AND key IN ({marks})"  # noqa: S608
        return {key for (key,) in self._database.read(sql, keys)}

    async def lines(self, batch: str) -> AsyncIterator[bytes]:
        """The lines of all open rows, in order."""
        last = -1
        sql = "SELECT number, line FROM batch_rows WHERE batch = ? AND number > ? ORDER BY number LIMIT ?"
        while rows := self._database.read(sql, (batch, last, _SOME)):
            for last, line in rows:  # noqa: B007 - the last number leads to the next page
                yield line

    def drop(self, connection: Connection, batch: str, numbers: Sequence[int]) -> None:
        """Delete rows whose results are booked; for use inside one transaction."""
        _run_many(_DROP, [(batch, number) for number in numbers], connection)

    async def discard(self, batch: str) -> None:
        """Delete what is left of a batch that is over."""
        sql = "SELECT number FROM batch_rows WHERE batch = ? LIMIT ?"
        while rows := self._database.read(sql, (batch, _SOME)):
            await self._database.write(partial(_run_many, _DROP, [(batch, number) for (number,) in rows]))

    async def tidy(self) -> None:
        """Delete the rows of batches that are over, or that a killed process had not finished to write down."""
        sql = "SELECT DISTINCT batch FROM batch_rows WHERE batch NOT IN (SELECT id FROM batches WHERE step != 'done')"
        for (batch,) in self._database.read(sql):
            await self.discard(batch)


def _values(row: BatchRow) -> tuple[str | int | float | bytes, ...]:
    p = row.provenance
    return (row.number, row.key, row.usd, p.backend, p.request_hash, p.question_id, p.question, p.sample_index, row.line)


def _run_many(sql: str, values: Sequence[tuple[str | int | float | bytes, ...]], connection: Connection) -> None:
    connection.executemany(sql, values)
