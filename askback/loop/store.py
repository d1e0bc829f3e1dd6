"""A run's folder. What is appended is fsynced before it counts; what is written whole is renamed into place; manifests come last."""

import contextlib
import fcntl
import json
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from askback.contracts.errors import InvalidInput

R = TypeVar("R", bound=BaseModel)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


class RunStore:
    """`runs/<id>/`: config.toml, samples/, harvest.jsonl, tracks/, adapters/, predictions/, scores.json, report.md, manifests/."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.run_id = run_id
        self.folder = root / run_id

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; raises InvalidInput while another process holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InvalidInput(f"run {self.run_id} is being worked on by another process; wait for it or stop it") from error
            yield

    def write_text(self, name: str, text: str) -> None:
        """Write the whole file aside, fsync it, rename it into place."""
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.partial")
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)

    def write_json(self, name: str, value: object) -> None:
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def write_records(self, name: str, records: Iterable[BaseModel]) -> int:
        """Write a whole JSONL file; returns its number of lines."""
        lines = [record.model_dump_json() + "\n" for record in records]
        self.write_text(name, "".join(lines))
        return len(lines)

    def read_records(self, name: str, kind: type[R]) -> list[R]:
        """All lines of a JSONL file; a torn last line (a crash while appending) is cut off the file."""
        path = self.path(name)
        if path.exists():
            self._cut_torn_line(path)
        return self.peek_records(name, kind)

    def peek_records(self, name: str, kind: type[R]) -> list[R]:
        """As `read_records`, and writes nothing: a torn last line, which another process may be writing now, is passed over."""
        path = self.path(name)
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        records = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(kind.model_validate_json(line))
            except ValidationError as error:
                raise InvalidInput(f"{path}:{number}: not a {kind.__name__}: {error.errors()[0]['msg']}; remove the line to do it again") from error
        return records

    def _cut_torn_line(self, path: Path) -> None:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)

    def appender(self, name: str) -> "Appender":
        return Appender(self.path(name))

    def manifest(self, stage: str) -> dict[str, Any] | None:
        """The stage's manifest when the stage is complete."""
        path = self.path("manifests", f"{stage}.json")
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def reopen(self, stages: Iterable[str], keep_predictions: bool = False) -> None:
        """Count `stages` as not done. Predictions go, unless they are kept, since the evaluate stage keeps those that it finds; other files
        are written anew."""
        for stage in stages:
            self.path("manifests", f"{stage}.json").unlink(missing_ok=True)
            for predictions in self.path("predictions").glob("*.jsonl") if stage == "evaluate" and not keep_predictions else ():
                predictions.unlink()

    def complete(self, stage: str, started: float, files: Iterable[str], counts: dict[str, Any]) -> None:
        """Write the stage's manifest: from here on the stage is done and is never redone."""
        digests = {name: file_sha256(self.path(name)) for name in files}
        body = {"stage": stage, "seconds": round(time.time() - started, 1), "counts": counts, "sha256": digests}
        self.write_json(f"manifests/{stage}.json", body)


class Appender:
    """Appends records to a JSONL file. A thread fsyncs, so that many who append at a time share one fsync and none holds up the others."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._written: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._sync, name=f"fsync {path.name}", daemon=True)
        self._thread.start()

    def append(self, record: BaseModel) -> Future[None]:
        """Write `record`; what is returned is done when the record is fsynced, or holds the OSError.

        Raises OSError when it cannot be written, or one before it could not be fsynced.
        """
        if self._failure is not None:
            raise self._failure
        self._file.write(record.model_dump_json() + "\n")
        self._file.flush()
        durable: Future[None] = Future()
        durable.set_running_or_notify_cancel()  # the line is written, so there is nothing left to cancel
        self._written.put(durable)
        return durable

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Fsync what is not yet, and close; raises OSError when a record could not be fsynced."""
        self._written.put(None)
        self._thread.join()
        self._file.close()
        if kind is None and self._failure is not None:
            raise self._failure

    def _sync(self) -> None:
        last = False
        while not last:
            taken = [self._written.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    taken.append(self._written.get_nowait())
            last = None in taken
            waiting = [durable for durable in taken if durable is not None]
            try:
                if waiting:
                    os.fsync(self._file.fileno())
            except OSError as error:
                self._failure = error
            for durable in waiting:
                if self._failure is None:
                    durable.set_result(None)
                else:
                    durable.set_exception(self._failure)
