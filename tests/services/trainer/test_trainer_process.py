import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from askback.contracts.trainer import Job, JobState, LossPoint, TrainRequest
from services.trainer.processes import process
from services.trainer.processes.process import LOCK_LOST, PARENT, supervise
from services.trainer.records.jobs import JobStore
from services.trainer.records.progress import ProgressWriter

JOB = Job(id="0123456789abcdef", state=JobState.QUEUED, request=TrainRequest(run_id="r1", name="n", dataset="a.jsonl"))


@dataclass
class Asked:
    requested: bool = False


@pytest.fixture(autouse=True)
def submitted(store: JobStore) -> None:
    store.write(JOB)


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Child":
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Child(tmp_path)


class Child:
    """Stands in for the training process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "stand_in_training.py"
        self.mark = folder / "started"

    def does(self, code: str) -> str:
        body = textwrap.dedent(code)
        self._path.write_text(f"import os, pathlib, signal, sys, time\npathlib.Path({str(self.mark)!r}).touch()\n{body}")
        return "stand_in_training"

    def then(self, action: object) -> None:
        """Call `action` once the child runs."""

        def wait() -> None:
            while not self.mark.exists():
                time.sleep(0.02)
            action()  # type: ignore[operator]

        threading.Thread(target=wait, daemon=True).start()


def test_a_killed_child_fails_the_job_with_the_signal(store: JobStore, child: Child) -> None:
    supervise(store, JOB.id, Asked(), child.does("os.kill(os.getpid(), signal.SIGKILL)"))
    job = store.read(JOB.id)
    assert job.state is JobState.FAILED
    assert "killed by signal 9 (SIGKILL); out of memory?" in job.error


def test_a_child_that_dies_early_fails_the_job_with_its_last_line(store: JobStore, child: Child) -> None:
    store.count_start(JOB.id)
    supervise(store, JOB.id, Asked(), child.does("sys.exit('no torch here')"))
    assert store.read(JOB.id).error == "the training process ended with code 1: no torch here"
    assert store.starts(JOB.id) == 0


def test_cancel_ends_the_child_within_seconds(store: JobStore, child: Child) -> None:
    child.then(lambda: store.cancel(JOB.id))
    begun = time.monotonic()
    supervise(store, JOB.id, Asked(), child.does("time.sleep(60)"))
    assert time.monotonic() - begun < 5
    assert (store.read(JOB.id).state, store.read(JOB.id).error) == (JobState.FAILED, "cancelled")
    assert not store.is_cancelled(JOB.id)


def test_a_worker_that_ends_leaves_the_job_to_the_next(store: JobStore, child: Child) -> None:
    asked = Asked()
    child.then(lambda: setattr(asked, "requested", True))
    store.write(JOB.model_copy(update={"state": JobState.RUNNING}))
    supervise(store, JOB.id, asked, child.does("time.sleep(60)"))
    assert store.read(JOB.id).state is JobState.QUEUED


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED])
def test_a_message_for_a_job_that_is_over_starts_nothing(store: JobStore, child: Child, state: JobState) -> None:
    store.write(JOB.model_copy(update={"state": state}))
    supervise(store, JOB.id, Asked(), child.does(""))
    assert not child.mark.exists()


def test_a_job_that_was_cancelled_while_it_waited_is_not_begun(store: JobStore, child: Child) -> None:
    store.cancel(JOB.id)
    assert not supervise(store, JOB.id, Asked(), child.does(""))
    assert (store.read(JOB.id).error, child.mark.exists(), store.is_cancelled(JOB.id)) == ("cancelled", False, False)


def test_a_message_that_was_taken_is_believed_in_for_as_long_as_a_child_starts(
    store: JobStore, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.mark_enqueued(JOB.id, 300)
    supervise(store, JOB.id, Asked(), child.does(""))
    assert store.is_enqueued(JOB.id)
    monkeypatch.setattr(process, "STARTING_S", 0.001)
    supervise(store, JOB.id, Asked(), child.does(""))
    assert not store.is_enqueued(JOB.id)


def test_a_training_that_lost_its_lock_leaves_the_record_to_whoever_has_it(store: JobStore, child: Child) -> None:
    running = JOB.model_copy(update={"state": JobState.RUNNING})
    store.write(running)
    store.count_start(JOB.id)
    supervise(store, JOB.id, Asked(), child.does(f"sys.exit({LOCK_LOST})"))
    assert (store.read(JOB.id), store.starts(JOB.id)) == (running, 1)


def test_the_worker_whose_child_came_second_writes_nothing(store: JobStore, child: Child) -> None:
    store.write(JOB.model_copy(update={"state": JobState.RUNNING}))
    store.count_start(JOB.id)
    with ExitStack() as first:
        child.then(lambda: first.enter_context(store.lock(JOB.id)))
        supervise(store, JOB.id, Asked(), child.does("time.sleep(0.3)"))
        assert (store.read(JOB.id).state, store.starts(JOB.id)) == (JobState.RUNNING, 1)


def test_a_message_for_a_job_that_runs_starts_nothing(store: JobStore, child: Child) -> None:
    with store.lock(JOB.id) as held:
        assert held
        supervise(store, JOB.id, Asked(), child.does(""))
    assert not child.mark.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death signal is Linux's")
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    child = "from services.trainer.processes.process import die_with_parent; die_with_parent(); print('up', flush=True); import time; time.sleep(60)"
    parent = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], env={{**os.environ, {PARENT!r}: str(os.getpid())}}, stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); child.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_progress_counts_this_process_and_writes_once_a_second() -> None:
    now = [100.0]
    written: list[Job] = []
    writer = ProgressWriter(JOB, written.append, clock=lambda: now[0])
    writer.begin(10, 14, [LossPoint(step=10, loss=2.0)])
    for step, loss in ((11, 1.5), (12, 1.25), (13, 1.0), (14, 0.5)):
        now[0] += 0.6
        writer.step(step, loss, tokens=(step - 10) * 30)
    assert [job.progress.step for job in written] == [10, 12, 14]
    at_12 = written[1].progress
    assert (at_12.total_steps, at_12.loss) == (14, 1.25)
    assert (at_12.tokens_per_s, at_12.seconds_left) == (pytest.approx(50), pytest.approx(1.2))
    assert [point.step for point in written[-1].losses] == [10, 11, 12, 13, 14]


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    writer = ProgressWriter(JOB, list[Job]().append)
    writer.begin(0, 2, [])
    with pytest.raises(Exception, match=r"the loss became nan at step 1; lower recipe\.learning_rate"):
        writer.step(1, float("nan"), 10)
