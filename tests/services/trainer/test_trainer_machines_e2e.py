"""Two workers with disks of their own, jobs in Redis and runs behind a URL: what one leaves the other finishes."""

import importlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import ModuleType

import pytest
from trainer_rows import sft_row
from trainer_stack import make_tiny_model, redis, worker

from askback.contracts.trainer import Job, JobState, Recipe, TrainRequest
from services.trainer.core import Jobs
from services.trainer.recovery import recover_jobs, recovering

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

REQUEST = TrainRequest(
    run_id="r1",
    name="sft",
    dataset="sft.jsonl",
    recipe=Recipe(epochs=40, learning_rate=5e-3, lora_rank=4, batch_size=4, max_length=64),
    seed=3,
)


class Machines:
    """The service's side, and two machines that can run a worker."""

    def __init__(self, root: Path, tasks: ModuleType, environment: dict[str, str]) -> None:
        self.root, self.tasks, self.environment = root, tasks, environment
        self.jobs = Jobs(tasks.SETTINGS, tasks.STORE)

    def folder(self, name: str) -> Path:
        return self.root / name / "jobs"

    def worker(self, name: str) -> "AbstractContextManager[subprocess.Popen[bytes]]":
        return worker({**self.environment, "JOBS_DIR": str(self.folder(name))}, self.root / f"{name}.log")

    def wait(self, job_id: str, true: Callable[[Job], bool], seconds: float = 180) -> Job:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.jobs.store.read(job_id)
            if true(job):
                return job
            time.sleep(0.1)
        logs = [path.read_text()[-2000:] for path in [*self.root.glob("*.log"), *self.root.glob("*/jobs/*/train.log")]]
        raise AssertionError("\n".join([f"{job!r}", *logs]))


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    run = tmp_path / "runs" / "r1"
    run.mkdir(parents=True)
    (run / "sft.jsonl").write_text("".join(json.dumps(sft_row(number)) + "\n" for number in range(24)))
    make_tiny_model(tmp_path / "base", [str(sft_row(number)) for number in range(24)])
    with redis() as url, pytest.MonkeyPatch.context() as patch:
        environment = {
            "RUNS_DIR": f"file://{tmp_path / 'runs'}",
            "JOBS_DIR": str(tmp_path / "api" / "jobs"),
            "BASE_MODEL": str(tmp_path / "base"),
            "REDIS_URL": url,
            "JOB_STORE": "redis",
            "QUEUE_PREFIX": "e2e:",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        tasks = importlib.reload(importlib.import_module("services.trainer.tasks"))  # it reads its settings once
        yield Machines(tmp_path, tasks, environment)


def test_another_machine_finishes_what_a_killed_worker_left_and_a_cancel_reaches_it(machines: Machines) -> None:
    jobs, enqueue = machines.jobs, machines.tasks.enqueue
    with recovering(lambda: recover_jobs(jobs, enqueue), every_s=1), ExitStack() as stack:
        workers = {name: stack.enter_context(machines.worker(name)) for name in ("one", "two")}
        job_id = jobs.submit(REQUEST, enqueue).id
        machines.wait(job_id, lambda job: job.progress.step >= 20)
        (first,) = [name for name in workers if (machines.folder(name) / job_id / "train.log").exists()]
        workers[first].send_signal(signal.SIGKILL)
        job = machines.wait(job_id, lambda job: job.state in (JobState.DONE, JobState.FAILED))
        assert (job.state, job.error, [point.step for point in job.losses]) == (JobState.DONE, "", list(range(1, 241)))
        (second,) = workers.keys() - {first}
        assert "its checkpoints are not on this machine, so it starts over" in (machines.folder(second) / job_id / "train.log").read_text()
        adapter = machines.root / "runs" / "r1" / "adapters" / "sft"
        assert json.loads((adapter / "training.json").read_text())["job_id"] == job_id
        assert {"adapter_model.safetensors", "adapter_config.json"} <= {path.name for path in adapter.iterdir()}
        assert not (adapter / "uploading.json").exists()

        other = jobs.submit(REQUEST.model_copy(update={"name": "other"}), enqueue).id
        machines.wait(other, lambda job: job.progress.step >= 1)
        begun = time.monotonic()
        jobs.cancel(other)
        ended = machines.wait(other, lambda job: job.state is JobState.FAILED)
        assert (ended.error, time.monotonic() - begun < 10) == ("cancelled", True)
