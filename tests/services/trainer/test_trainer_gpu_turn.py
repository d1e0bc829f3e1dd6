"""A training takes the card only when the student has confirmed that its engine sleeps, and its end gives it back."""

import json
import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from askback.contracts.errors import Conflict
from askback.contracts.gpu_lock import EngineNote, GpuLock, Note
from askback.contracts.student import EnginePhase, EngineStatus
from askback.contracts.trainer import Job, JobState, TrainRequest
from services.trainer.processes.gpu_turn import DESCRIPTOR, StudentLine, give_turn_back, take_card, take_turn
from services.trainer.processes.process import supervise
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.settings import Settings

JOB = Job(id="0123456789abcdef", state=JobState.QUEUED, request=TrainRequest(run_id="r1", name="n", dataset="a.jsonl"))


@dataclass
class Student:
    """Answers with `phases`, one after the other, the last one for ever."""

    url: str = ""
    phases: list[str] = field(default_factory=lambda: ["asleep"])
    status: int = 200
    seen: list[tuple[str, object]] = field(default_factory=list)
    note: Callable[[], object] = lambda: None
    """Called with every sleep, as the student writes into the lock file."""


@pytest.fixture
def student() -> Iterator[Student]:
    student = Student()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            student.seen.append((self.path, json.loads(body or b"null")))
            if self.path == "/v1/engine/sleep":
                student.note()
            phase = student.phases.pop(0) if len(student.phases) > 1 else student.phases[0]
            answer = EngineStatus(shared=True, phase=EnginePhase(phase)).model_dump_json()
            content = answer.encode() if student.status == 200 else b'{"error": "Conflict", "detail": "GPU_LOCK is not set"}'
            self.send_response(student.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    student.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield student
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path, student: Student) -> GpuLock:
    lock = GpuLock.at(tmp_path / "gpu.lock")
    student.note = lambda: lock.write(Note(engine=EngineNote.ASLEEP))
    return lock


@pytest.fixture
def set_up(tmp_path: Path, student: Student) -> Settings:
    return Settings(tmp_path / "runs", tmp_path / "jobs", "m", "", tmp_path / "gpu.lock", student.url, "key")


def taken(lock: GpuLock, student: Student, on_pause: Callable[[int], None] = lambda pauses: None) -> list[str]:
    """What was said until the card was had; `on_pause` gets the number of pauses so far."""
    said: list[str] = []
    pauses = [0]

    def pause(seconds: float) -> None:
        pauses[0] += 1
        assert pauses[0] < 500, said
        on_pause(pauses[0])

    take_card(lock, StudentLine(student.url), "job 1", said.append, pause)
    return said


def test_the_card_is_had_after_the_student_confirmed_twice(lock: GpuLock, student: Student) -> None:
    assert taken(lock, student) == []
    assert [path for path, _ in student.seen] == ["/v1/engine/sleep", "/v1/engine"]
    assert student.seen[0][1] == {"holder": "job 1"}
    assert lock.held and lock.read() == Note(engine=EngineNote.ASLEEP, holder="job 1")


@pytest.mark.parametrize("phases", [["asleep", "waking", "asleep"], ["asleep", "waiting", "asleep"], ["draining", "asleep"]])
def test_whatever_is_not_asleep_is_asked_again(lock: GpuLock, student: Student, phases: list[str]) -> None:
    student.phases = phases
    assert len(taken(lock, student)) == 1
    assert len(student.seen) > 2


def test_a_wake_that_may_be_under_way_is_not_trusted(lock: GpuLock, student: Student) -> None:
    student.note = lambda: lock.write(Note(engine=EngineNote.UP if len(student.seen) < 2 else EngineNote.ASLEEP))
    assert taken(lock, student) == ["waiting for the GPU: the engine woke up meanwhile"]


def test_another_training_is_waited_for_and_the_student_asked_again(lock: GpuLock, student: Student, tmp_path: Path) -> None:
    other = GpuLock.at(tmp_path / "gpu.lock")
    assert other.take()
    student.note = lambda: other.write(Note(engine=EngineNote.ASLEEP, holder="job 2")) if other.held else None
    said = taken(lock, student, lambda pauses: other.close() if pauses == 80 else None)
    assert set(said) == {"waiting for the GPU: job 2 has it"}
    assert lock.held


def test_a_student_that_cannot_be_reached_is_waited_for(lock: GpuLock, student: Student) -> None:
    url, student.url = student.url, "http://127.0.0.1:9"
    line = StudentLine(student.url)
    said: list[str] = []

    def pause(seconds: float) -> None:
        line._url = url

    take_card(lock, line, "job 1", said.append, pause)
    assert len(said) == 1 and said[0].startswith("waiting for the GPU: student at http://127.0.0.1:9 cannot be reached")


def test_a_student_that_shares_no_card_fails_the_job(lock: GpuLock, student: Student) -> None:
    student.status = 409
    with pytest.raises(Conflict, match="GPU_LOCK is not set"):
        taken(lock, student)
    assert not lock.held


def test_without_a_shared_card_nobody_is_asked(tmp_path: Path, student: Student) -> None:
    alone = Settings(tmp_path, tmp_path, "m", "", None, student.url)
    take_turn(alone, JOB, pytest.fail)
    give_turn_back(alone, JOB)
    assert student.seen == []


def test_the_student_is_told_of_the_new_adapter_by_the_loop_s_name_for_it(set_up: Settings, student: Student) -> None:
    folder = set_up.runs / "r1" / "adapters" / "n"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    give_turn_back(set_up, JOB.model_copy(update={"state": JobState.DONE, "adapter": "adapters/n"}))
    give_turn_back(set_up, JOB)
    named = {"adapter": {"name": f"r1-n-{sha256(b'weights').hexdigest()[:6]}", "path": "r1/adapters/n"}}
    assert student.seen == [("/v1/engine/wake", named), ("/v1/engine/wake", {"adapter": None})]


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_child_locks_the_card_and_its_end_frees_it(
    tmp_path: Path, student: Student, set_up: Settings, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The child locks the worker's descriptor; while it runs nobody else gets it, and after it anybody does."""
    code = f"""
        import os, signal, sys, time, pathlib
        from askback.contracts.gpu_lock import GpuLock
        assert GpuLock(int(os.environ[{DESCRIPTOR!r}])).take()
        pathlib.Path({str(tmp_path / "has")!r}).touch()
        while not pathlib.Path({str(tmp_path / "end")!r}).exists():
            time.sleep(0.02)
        {end}
    """
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    store = FolderJobs(set_up.jobs)
    store.write(JOB)
    worker = threading.Thread(target=supervise, args=(store, JOB.id, Asked(), "stand_in", set_up.gpu_lock))
    worker.start()
    until = time.monotonic() + 20
    while not (tmp_path / "has").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert set_up.gpu_lock is not None
    looker = GpuLock.at(set_up.gpu_lock)
    assert not looker.is_free()
    (tmp_path / "end").touch()
    worker.join(20)
    assert looker.is_free()
    looker.close()


@dataclass
class Asked:
    requested: bool = False
