"""Recorded answers: stored by backend, question and sample index; posted over HTTP or read from files at start."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.teacher import Recording
from askback.tasks.datafile import read_jsonl
from services.teacher.storage.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    backend TEXT NOT NULL, question_id TEXT NOT NULL, sample_index INTEGER NOT NULL, request_hash TEXT NOT NULL,
    question TEXT NOT NULL, model TEXT NOT NULL, completion TEXT NOT NULL, from_file INTEGER NOT NULL,
    PRIMARY KEY (backend, question_id, sample_index, request_hash)
);
CREATE INDEX IF NOT EXISTS recordings_by_question ON recordings (backend, question, sample_index);
CREATE INDEX IF NOT EXISTS recordings_by_request ON recordings (backend, request_hash, sample_index);
"""
_INSERT = (
    "INSERT INTO recordings (backend, question_id, sample_index, request_hash, question, model, completion, from_file)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (backend, question_id, sample_index, request_hash) DO "
)
_OVERWRITE = "UPDATE SET question = excluded.question, model = excluded.model, completion = excluded.completion, from_file = excluded.from_file"
_FIND = "SELECT completion, model FROM recordings WHERE backend = ? AND {} = ? AND sample_index = ? ORDER BY question_id, rowid LIMIT 1"
_BY_REQUEST, _BY_ID, _BY_QUESTION = (_FIND.format(column) for column in ("request_hash", "question_id", "question"))


class Recordings:
    """The recordings of all backends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    def find(self, backend: str, request_hash: str, question_id: str, question: str, sample_index: int) -> tuple[str, str] | None:
        """(text, model) of the exact request, else by `question_id`, else by the question's text; an empty one matches nothing."""
        for sql, value in ((_BY_REQUEST, request_hash), (_BY_ID, question_id), (_BY_QUESTION, question)):
            rows = self._database.read(sql, (backend, value, sample_index)) if value else []
            if rows:
                return rows[0][0], rows[0][1]
        return None

    def store(self, backend: str, recordings: Iterable[Recording]) -> int:
        """Store all or none, overwriting equal keys; returns how many. Raises InvalidInput naming the bad row. Blocks for an fsync."""
        rows = _rows(backend, ((f"recordings[{i}]", recording) for i, recording in enumerate(recordings)), from_file=False)
        with self._database.transaction() as connection:
            connection.executemany(_INSERT + _OVERWRITE, rows)
        return len(rows)

    def follow_file(self, backend: str, path: Path | None) -> int:
        """Make the backend's file rows those under `path` (none for None), leaving posted ones; returns how many rows the files hold."""
        rows = _rows(backend, read_files(path) if path else (), from_file=True)
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM recordings WHERE backend = ? AND from_file = 1", (backend,))
            connection.executemany(_INSERT + "NOTHING", rows)
        return len(rows)


def _rows(backend: str, placed: Iterable[tuple[str, Recording]], *, from_file: bool) -> list[tuple[Any, ...]]:
    rows, seen = [], dict[tuple[str, int, str], str]()
    for place, recording in placed:
        for field in ("question_id", "completion"):
            if not getattr(recording, field).strip():
                raise InvalidInput(f"{place}: {field} is empty")
        if any(
            "\ud800" <= character <= "\udfff"
            for character in recording.question_id + recording.question + recording.model + recording.completion + recording.request_hash
        ):
            raise InvalidInput(f"{place}: a text holds half of a surrogate pair, which is no character; remove it")
        if not 0 <= recording.sample_index < 10**9:
            raise InvalidInput(f"{place}: sample_index is {recording.sample_index}; it must be a whole number from 0")
        key = (recording.question_id, recording.sample_index, recording.request_hash)
        if from_file and key in seen:  # two files on one question: overwriting would hide one of them
            raise InvalidInput(
                f"{place}: question_id {key[0]!r} with sample_index {key[1]} stands already at {seen[key]}; number them by sample_index"
            )
        seen[key] = place
        rows.append((backend, *key, recording.question.strip(), recording.model, recording.completion, int(from_file)))
    return rows


def read_files(path: Path) -> Iterator[tuple[str, Recording]]:
    """(place, recording) of a JSONL file or of all `*.jsonl` in a folder; raises InvalidInput naming file and line."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InvalidInput(f"{path}: no recordings here; `path` must name a JSONL file or a folder of them")
    for file in files:
        for place, row in read_jsonl(file):
            yield place, _read_row(place, row)


def _read_row(place: str, row: Any) -> Recording:
    if not isinstance(row, dict):
        raise InvalidInput(f"{place}: the row is not an object")
    row = {"question_id": row.get("qid"), "model": "recorded", "sample_index": 0, "request_hash": ""} | row
    kinds = {"question_id": str, "question": str, "completion": str, "model": str, "sample_index": int, "request_hash": str}
    for field, kind in kinds.items():
        if type(row.get(field)) is not kind:
            named = "qid or question_id" if field == "question_id" else field
            raise InvalidInput(f"{place}: {named} must be {'a text' if kind is str else 'a whole number'}; rows have qid, question, completion")
    return Recording.model_validate({field: row[field] for field in Recording.model_fields})
