"""The teacher's SQLite file.

Reads run on the event loop: each is one lookup by index, some tens of microseconds, less than the hop to a thread. They have
their own connection, since under WAL a reader never waits for the writer. Writes end in an fsync, so a thread makes them.
"""

import asyncio
import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput, ServiceError
from services.teacher.storage.group_commit import GroupCommit, Work

_LAYOUT = 2


class Database:
    """One SQLite file in WAL mode with synchronous=FULL: what was written outlives kill -9 and power loss.

    One process at a time: two that count the same dollars in memory would spend them twice.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path`; raises InvalidInput when it is no usable database, of another layout, or open elsewhere."""
        self._path = path
        self._lock = threading.Lock()  # held while the writing connection is in use
        self._commits = GroupCommit(self.transaction, self._copy_log)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unlock = weakref.finalize(self, os.close, _lock(path))
            self._unlock.atexit = False  # the writing thread may outlive this; the kernel unlocks when all is over
            try:
                self._open()
            except BaseException:
                self._unlock()
                raise
        except (OSError, sqlite3.Error) as error:
            raise InvalidInput(f"TEACHER_DATABASE {path}: cannot be opened: {error}") from error

    def _open(self) -> None:
        self._writer = _connect(self._path)
        _check_layout(self._writer, self._path)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._flushes = True
        self._writer.execute("PRAGMA synchronous=FULL")
        self._writer.execute("PRAGMA wal_autocheckpoint=0")  # the copying flushes, and would do so on the event loop
        self._reader = _connect(self._path)

    def create(self, schema: str) -> None:
        """Run `schema`: statements of the form CREATE ... IF NOT EXISTS, all or none. Blocks for an fsync: for start-up."""
        with self._errors("written"), self._lock, self._writer:
            self._writer.executescript(f"BEGIN IMMEDIATE;{schema};COMMIT;")

    def _copy_log(self) -> None:
        with suppress(ServiceError), self._errors("written"), self._lock:  # what cannot be copied now stays in the log
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        with self._errors("read"):
            return self._reader.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self, flush: bool = True) -> Iterator[sqlite3.Connection]:
        """The writing connection inside one transaction, durable when the block ends, undone when it raises. Blocks for an fsync.

        Without `flush` there is none: the transaction outlives kill -9, and a power cut only when a later one was flushed.
        """
        with self._errors("written"), self._lock:
            if flush != self._flushes:
                self._writer.execute(f"PRAGMA synchronous={'FULL' if flush else 'NORMAL'}")
                self._flushes = flush
            self._writer.execute("BEGIN IMMEDIATE")
            with self._writer:
                yield self._writer

    def write(self, work: Work, flush: bool = True) -> asyncio.Future[None]:
        """Queue `work` for the writing thread; call it from the event loop. The future is done when the write is durable.

        Writes become durable in the order of the calls; `flush` is as in `transaction`. `work` runs in another thread, and twice
        when another one in its transaction fails, so it must do nothing but use the connection that it gets. What it raises,
        the future raises, and ServiceError for what the database raises. A cancelled future does not undo the write. After
        `close`, raises ServiceError.
        """
        return self._commits.write(work, flush)

    def close(self) -> None:
        """Make the writes that wait, then close the file."""
        self._commits.close()
        self._reader.close()
        with self._lock:
            self._writer.close()
        self._unlock()

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = "; free disk space or correct its permissions" if done == "written" else ""
            raise ServiceError(f"{self._path} cannot be {done}: {error}{remedy}") from error
        except UnicodeEncodeError as error:
            broken = error.object[error.start : error.end]
            raise InvalidInput(f"a text holds half of a surrogate pair ({broken!r}), which is no character; remove it") from error


def _lock(path: Path) -> int:
    """A file descriptor that holds the lock beside `path`. The kernel drops the lock with the process, whatever ends it."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise InvalidInput(f"TEACHER_DATABASE {path}: is open in another teacher; stop that one or name another file") from error
        raise
    return descriptor


def _check_layout(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == 0 and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        connection.execute(f"PRAGMA user_version={_LAYOUT}")
    elif found != _LAYOUT:
        raise InvalidInput(f"TEACHER_DATABASE {path}: has layout {found}, and this teacher reads layout {_LAYOUT} alone; move the file away")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
