"""How a job is spread over cards, without a process: what is refused, what is started, and what the processes say."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, Progress, Recipe, TrainRequest
from services.trainer.model import torch_card
from services.trainer.processes import accelerate_launch, launch
from services.trainer.processes.launch import Reports
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.records.jobs import LockLost
from services.trainer.settings import Settings

SETTINGS = Settings(runs=Path("runs"), jobs=Path("jobs"), base_model="m", redis_url="")


def job_of(**recipe: Any) -> Job:
    request = TrainRequest(run_id="r1", name="n", dataset="a.jsonl", recipe=Recipe(**recipe))
    return Job(id="0123456789abcdef", state=JobState.RUNNING, request=request)


@pytest.mark.parametrize(
    ("there", "recipe", "line"),
    [
        (2, {"gpus": 4}, "recipe.gpus: 4 cards are asked for and 2 are visible; lower it or set CUDA_VISIBLE_DEVICES"),
        (1, {"gpus": 2}, "recipe.gpus: 2 cards are asked for and 1 are visible; lower it or set CUDA_VISIBLE_DEVICES"),
        (
            4,
            {"gpus": 3, "batch_size": 4, "gradient_accumulation": 2},
            "recipe.gpus: 3 cards cannot share the 4 x 2 rows of a step evenly; change gpus, batch_size or gradient_accumulation",
        ),
        (
            0,
            {"gpus": 2, "batch_size": 1},
            "recipe.gpus: 2 cards cannot share the 1 x 1 rows of a step evenly; change gpus, batch_size or gradient_accumulation",
        ),
    ],
)
def test_a_number_of_cards_that_cannot_be_is_refused_before_a_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int, recipe: dict[str, Any], line: str
) -> None:
    monkeypatch.setattr(torch_card, "cards", lambda: there)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with pytest.raises(InvalidInput) as caught:
        launch.run(SETTINGS, FolderJobs(tmp_path), job_of(**recipe))
    assert str(caught.value) == line


@pytest.mark.parametrize(("gpu", "sharded", "switch"), [(True, False, "--multi_gpu"), (False, False, "--multi_gpu"), (True, True, "--use_fsdp")])
def test_as_many_processes_are_started_as_cards_are_asked_for(gpu: bool, sharded: bool, switch: str) -> None:
    command = accelerate_launch.command(2, gpu, sharded, "a.module", "id")
    assert switch in command and "--cpu" not in command  # which would start one process alone
    assert command[command.index("--num_processes") + 1] == "2"
    assert command[-3:] == ["-m", "a.module", "id"]


@pytest.mark.parametrize(("given", "cores", "threads"), [("", 8, "4"), ("", 1, "1"), ("3", 8, "3")])
def test_without_cards_the_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch, given: str, cores: int, threads: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    command = accelerate_launch.command(2, False, False, "a.module")
    assert command[command.index("--num_cpu_threads_per_process") + 1] == threads


class Stand:
    """Stands in for the launcher: on each look one of `turns` is called, and after the last one it has ended with `code`."""

    def __init__(self, turns: list[Any], code: int) -> None:
        self._turns, self.code, self.ended_by = turns, code, ""
        self.returncode: int | None = None

    def __call__(self, *_: object, **__: object) -> "Stand":
        return self

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.ended_by or not self._turns:
            self.returncode = self.code
            return self.code
        self._turns.pop(0)()
        raise subprocess.TimeoutExpired("launcher", timeout or 0)

    def terminate(self) -> None:
        self.ended_by = "terminate"


class Recorded(FolderJobs):
    """Keeps what was written; raises `error` instead when it is set."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[Job] = []
        self.error: Exception | None = None

    def write(self, job: Job) -> None:
        if self.error:
            raise self.error
        self.written.append(job)
        super().write(job)


JOB = job_of(gpus=2)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    monkeypatch.setattr(torch_card, "cards", lambda: 0)
    return Recorded(tmp_path)


def started(monkeypatch: pytest.MonkeyPatch, *turns: Any, code: int = 0) -> Stand:
    stand = Stand(list(turns), code)
    monkeypatch.setattr(subprocess, "Popen", stand)
    return stand


def at(step: int, state: JobState = JobState.RUNNING) -> Job:
    return JOB.model_copy(update={"state": state, "progress": Progress(step=step, total_steps=9)})


def test_the_first_process_s_progress_is_written_by_the_holder_of_the_lock(store: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(store.folder(JOB.id))
    done = at(9, JobState.DONE)
    started(monkeypatch, lambda: reports.write(at(1)), lambda: None, lambda: reports.write(at(2)), lambda: reports.write(done))
    assert launch.run(SETTINGS, store, JOB) == done
    assert [(job.progress.step, job.state) for job in store.written] == [(step, JobState.RUNNING) for step in (1, 2, 9)]


def test_the_first_failure_is_the_job_s(store: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(store.folder(JOB.id))

    def both_fail() -> None:
        reports.fail(JOB.model_copy(update={"error": "line 3: too long", "error_kind": "InvalidInput"}))
        reports.fail(JOB.model_copy(update={"error": "connection closed by peer", "error_kind": "ServiceError"}))
        reports.write(at(1))

    started(monkeypatch, both_fail, code=1)
    with pytest.raises(InvalidInput, match=r"^line 3: too long$"):
        launch.run(SETTINGS, store, JOB)


def test_what_an_earlier_start_said_is_forgotten(store: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(store.folder(JOB.id))
    reports.fail(JOB.model_copy(update={"error": "of yesterday"}))
    reports.write(at(9, JobState.DONE))
    started(monkeypatch, code=-9)
    with pytest.raises(Exception, match=r"ended with code -9; their last lines are in the job's train\.log"):
        launch.run(SETTINGS, store, JOB)


def test_a_lost_lock_ends_the_processes_also_when_they_say_nothing_new(store: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LOOK_S", 0.0)
    stand = started(monkeypatch, lambda: None, lambda: setattr(store, "error", LockLost("its lease was lost")), *[lambda: None] * 9)
    with pytest.raises(LockLost):
        launch.run(SETTINGS, store, JOB)
    assert stand.ended_by == "terminate"


def test_a_store_that_does_not_answer_for_a_moment_ends_nothing(store: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(store.folder(JOB.id))

    def away() -> None:
        store.error = UpstreamUnavailable("the jobs in redis cannot be reached")
        reports.write(at(1))

    def back() -> None:
        store.error = None
        reports.write(at(2, JobState.DONE))

    stand = started(monkeypatch, away, back)
    assert launch.run(SETTINGS, store, JOB).progress.step == 2
    assert ([job.progress.step for job in store.written], stand.ended_by) == ([2], "")


@pytest.mark.parametrize(("counts", "tokens"), [([], 0), ([10, 25, 40], 40), ([10, 25, 15, 30], 55), ([10, 5, 7], 17)])
def test_tokens_are_counted_over_every_process_that_trained_a_part(counts: list[int], tokens: int) -> None:
    from services.trainer.learning.training import _tokens

    assert _tokens([{"num_tokens": count} for count in counts] + [{"loss": 1.0}]) == tokens
