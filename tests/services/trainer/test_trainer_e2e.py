"""Real jobs through a real redis-server and real Celery workers, with a tiny random model."""

import importlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from trainer_rows import dpo_row, sft_row
from trainer_stack import make_tiny_model, redis, worker

from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, Method, Recipe, TrainRequest
from services.trainer.core import Jobs
from services.trainer.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

STEPS, EPOCH = 270, 6  # a checkpoint is written every 27 steps, so that the first one falls into the middle of an epoch
RECIPE = Recipe(epochs=45, learning_rate=5e-3, lora_rank=4, batch_size=4, max_length=64)
SFT = TrainRequest(run_id="r1", name="sft", dataset="sft.jsonl", recipe=RECIPE, seed=3)
DPO = SFT.model_copy(update={"name": "dpo", "method": Method.DPO, "dataset": "dpo.jsonl", "init_adapter": "adapters/sft"})


class Stack:
    """The trainer without its HTTP face: jobs, the queue and workers."""

    def __init__(self, settings: Settings, tasks: ModuleType, environment: dict[str, str]) -> None:
        self.settings, self.tasks, self.environment = settings, tasks, environment
        self.jobs = Jobs(settings, tasks.STORE)
        self.log = settings.jobs.parent / "worker.log"

    def submit(self, request: TrainRequest) -> Job:
        return self.jobs.submit(request, self.tasks.enqueue)

    def adapter(self, name: str) -> Path:
        return self.settings.runs / "r1" / "adapters" / name

    def wait(self, job_id: str, until: Callable[[Job], bool], seconds: float = 240) -> Job:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.jobs.store.read(job_id)
            if until(job):
                return job
            assert job.state is not JobState.FAILED, job.error
            time.sleep(0.05)
        train_log = self.jobs.store.folder(job_id) / "train.log"
        text = train_log.read_text()[-3000:] if train_log.exists() else ""
        raise AssertionError(f"{job!r}\n{self.log.read_text()[-3000:]}\n{text}")

    def run(self, request: TrainRequest) -> Job:
        return self.wait(self.submit(request).id, lambda job: job.state is JobState.DONE)

    def run_through_a_kill(self, request: TrainRequest) -> Job:
        """Kill the worker after the first checkpoint, and let a new one finish what it left."""
        with worker(self.environment, self.log) as first:
            job_id = self.submit(request).id
            folder = self.jobs.store.checkpoints(job_id)
            self.wait(job_id, lambda job: any(folder.glob("checkpoint-*/trainer_state.json")))
            first.send_signal(signal.SIGKILL)
            first.wait()
        left = self.jobs.store.read(job_id)
        assert left.state is JobState.RUNNING
        assert left.progress.step < left.progress.total_steps
        with worker(self.environment, self.log):
            return self.wait(job_id, lambda job: job.state is JobState.DONE)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("trainer")
    run = root / "runs" / "r1"
    run.mkdir(parents=True)
    (run / "sft.jsonl").write_text("".join(json.dumps(sft_row(number)) + "\n" for number in range(24)))
    (run / "dpo.jsonl").write_text("".join(json.dumps(dpo_row(number)) + "\n" for number in range(24)))
    make_tiny_model(root / "base", [str(sft_row(number)) for number in range(24)])
    with redis() as url, pytest.MonkeyPatch.context() as patch:
        environment = {"RUNS_DIR": str(root / "runs"), "JOBS_DIR": str(root / "jobs"), "BASE_MODEL": str(root / "base"), "REDIS_URL": url}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        for name, value in environment.items():
            patch.setenv(name, value)
        tasks = importlib.reload(importlib.import_module("services.trainer.tasks"))  # it reads its settings once
        yield Stack(tasks.SETTINGS, tasks, environment)


@pytest.fixture(scope="module")
def trained(stack: Stack) -> dict[str, Job]:
    """SFT and the DPO from it, undisturbed."""
    with worker(stack.environment, stack.log):
        return {"sft": stack.run(SFT), "dpo": stack.run(DPO)}


def losses(job: Job) -> list[float]:
    return [point.loss for point in job.losses]


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_a_job_trains_and_publishes_what_vllm_loads(stack: Stack, trained: dict[str, Job], name: str) -> None:
    job = trained[name]
    assert [point.step for point in job.losses] == list(range(1, STEPS + 1))
    assert sum(losses(job)[-20:]) < 0.7 * sum(losses(job)[:20])
    folder = stack.adapter(name)
    assert {path.name for path in folder.iterdir()} == {"adapter_model.safetensors", "adapter_config.json", "training.json", "loss.png"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == stack.settings.base_model
    assert (config["r"], config["modules_to_save"], config["use_dora"], config["task_type"]) == (4, None, False, "CAUSAL_LM")
    record = json.loads((folder / "training.json").read_text())
    assert (record["job_id"], record["rows"], record["resumed_from"], len(record["losses"])) == (job.id, 24, "", STEPS)
    assert record["versions"].keys() >= {"python", "trl", "transformers", "peft", "torch"}
    assert (record["metrics"]["steps"], record["metrics"]["tokens"] > 0) == (STEPS, True)
    assert not stack.jobs.store.checkpoints(job.id).exists()


def test_dpo_moves_the_policy_away_from_the_adapter_it_starts_from(stack: Stack, trained: dict[str, Job]) -> None:
    from safetensors.torch import load_file

    before, after = (load_file(stack.adapter(name) / "adapter_model.safetensors") for name in ("sft", "dpo"))
    assert before.keys() == after.keys()
    assert any((before[name] - after[name]).abs().max() > 1e-3 for name in before)


@pytest.mark.parametrize("request_", [SFT, DPO], ids=["sft", "dpo"])
def test_a_killed_workers_job_is_finished_as_if_nothing_had_happened(stack: Stack, trained: dict[str, Job], request_: TrainRequest) -> None:
    job = stack.run_through_a_kill(request_.model_copy(update={"name": f"{request_.name}-killed"}))
    record = json.loads((stack.adapter(job.request.name) / "training.json").read_text())
    assert int(record["resumed_from"].removeprefix("checkpoint-")) % EPOCH
    assert [point.step for point in job.losses] == list(range(1, STEPS + 1))
    assert losses(job) == pytest.approx(losses(trained[request_.name]), abs=1e-3)


def test_a_row_that_is_too_long_fails_the_job_with_the_remedy(stack: Stack, trained: dict[str, Job]) -> None:
    long = {**sft_row(1), "completion": [{"role": "assistant", "content": "yes " * 80}]}
    (stack.settings.runs / "r1" / "long.jsonl").write_text(f"{json.dumps(sft_row(2))}\n{json.dumps(long)}\n")
    with worker(stack.environment, stack.log):
        job_id = stack.submit(SFT.model_copy(update={"name": "long", "dataset": "long.jsonl"})).id
        deadline = time.monotonic() + 120
        while (job := stack.jobs.store.read(job_id)).state is not JobState.FAILED and time.monotonic() < deadline:
            time.sleep(0.1)
    assert (job.state, job.error_kind) == (JobState.FAILED, "InvalidInput")
    assert job.error.startswith("recipe.max_length: at 64 tokens 1 of 2 rows lose the end of a reply (line 2); raise max_length to ")
    assert not stack.adapter("long").exists()


def test_a_worker_that_is_asked_to_end_does_so_within_seconds_and_the_next_goes_on(stack: Stack, trained: dict[str, Job]) -> None:
    request = SFT.model_copy(update={"name": "polite"})
    with worker(stack.environment, stack.log) as first:
        job_id = stack.submit(request).id
        stack.wait(job_id, lambda job: job.progress.step >= 1)
        first.terminate()
        first.wait(15)
    assert stack.jobs.store.read(job_id).state is JobState.QUEUED
    with worker(stack.environment, stack.log):
        stack.wait(job_id, lambda job: job.state is JobState.DONE)


def test_without_redis_a_submission_says_so_in_seconds(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    tasks = importlib.reload(importlib.import_module("services.trainer.tasks"))
    begun = time.monotonic()
    with pytest.raises(UpstreamUnavailable, match=r"redis at 127\.0\.0\.1:1 cannot be reached; the job 0123456789abcdef is kept"):
        tasks.enqueue("0123456789abcdef")
    assert "secret" not in tasks.broker_missing() and tasks.broker_missing()
    assert time.monotonic() - begun < 5
