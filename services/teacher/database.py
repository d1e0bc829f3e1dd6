"""The teacher's SQLite file.

Reads run on the event loop: each is one lookup by index, some tens of microseconds, less than the hop to a thread. Writes end
in an fsync that may take tens of milliseconds, so their callers run them in a thread. Reads have their own connection, since
under WAL a reader never waits for the writer.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput, ServiceError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    backend TEXT NOT NULL, question_id TEXT NOT NULL, question TEXT NOT NULL, sample_index INTEGER NOT NULL,
    model TEXT NOT NULL, completion TEXT NOT NULL, from_file INTEGER NOT NULL,
    PRIMARY KEY (backend, question_id, sample_index)
);
CREATE INDEX IF NOT EXISTS recordings_by_question ON recordings (backend, question, sample_index);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, backend TEXT NOT NULL, model TEXT NOT NULL, text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY, created_at REAL NOT NULL, backend TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, problem TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Database:
    """One SQLite file in WAL mode with synchronous=FULL: what was written outlives kill -9 and power loss."""

    def __init__(self, path: Path) -> None:
        """Open or create `path`; raises InvalidInput when it is not a usable database."""
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connect(path)
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.executescript(_SCHEMA)
            self._reader = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise InvalidInput(f"TEACHER_DATABASE {path}: cannot be opened: {error}") from error

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise ServiceError(f"{self._path} cannot be read: {error}") from error
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"a text holds half of a surrogate pair ({error.object[error.start : error.end]!r}), which is no character; remove it"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside one transaction, durable when the block ends, undone when it raises."""
        with self._lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                with self._writer:
                    yield self._writer
            except sqlite3.Error as error:
                raise ServiceError(f"{self._path} cannot be written: {error}; free disk space or correct its permissions") from error

    def close(self) -> None:
        self._reader.close()
        with self._lock:
            self._writer.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
