"""Answers in the teacher's own SQLite file."""

from asyncio import Future
from collections.abc import Iterator
from sqlite3 import Connection

from services.teacher.answers.cache import Provenance
from services.teacher.answers.completion import Completion
from services.teacher.storage.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, body BLOB NOT NULL, model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL, created_at REAL NOT NULL,
    backend TEXT NOT NULL, request_hash TEXT NOT NULL, question_id TEXT NOT NULL, question TEXT NOT NULL, sample_index INTEGER NOT NULL
);
"""
_COMPLETION = "body, model, prompt_tokens, completion_tokens, cost_usd, created_at"
_PROVENANCE = "backend, request_hash, question_id, question, sample_index"
_KEEP = f"INSERT OR REPLACE INTO answers (key, {_COMPLETION}, {_PROVENANCE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_FIND = f"SELECT {_COMPLETION} FROM answers WHERE key = ?"  # noqa: S608
_PAGE = f"SELECT rowid, {_COMPLETION}, {_PROVENANCE} FROM answers WHERE backend = ? AND rowid > ? ORDER BY rowid LIMIT 200"  # noqa: S608


class SqliteAnswers:
    """An AnswerStore. A look costs some tens of microseconds, less than the hop to a thread, and so runs on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def find(self, key: str) -> Completion | None:
        rows = self._database.read(_FIND, (key,))
        return Completion(*rows[0]) if rows else None

    def keep(self, key: str, completion: Completion, provenance: Provenance) -> Future[None]:
        c, p = completion, provenance
        what = (key, c.body, c.model, c.prompt_tokens, c.completion_tokens, c.cost_usd, c.created_at)
        row = (*what, p.backend, p.request_hash, p.question_id, p.question, p.sample_index)

        def write(connection: Connection) -> None:
            connection.execute(_KEEP, row)

        return self._database.write(write)

    def all(self, backend: str) -> Iterator[tuple[Completion, Provenance]]:
        last = -1
        while rows := self._database.read(_PAGE, (backend, last)):
            for row in rows:
                yield Completion(*row[1:7]), Provenance(*row[7:])
            last = rows[-1][0]
