"""Several trainings handed over at a time: each when the adapter that it starts from is there, and none sent twice for waiting its turn."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from askback.contracts.client import TrainerClient
from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Job, JobState, Progress, TrainRequest
from askback.loop import train as training
from askback.loop.config import RunConfig, parse_config
from askback.loop.progress import Reporter

ADAPTERS = [
    {"name": "direct", "track": "direct"},
    {"name": "dpo", "track": "preference", "method": "dpo", "init": "direct"},
    {"name": "cot", "track": "cot"},
    {"name": "context", "track": "context"},
]


def config(at_once: int) -> RunConfig:
    raw = {"name": "t", "task": "strategyqa", "adapters": ADAPTERS, "train": {"at_once": at_once}, "evaluate": {"conditions": ["base.direct"]}}
    return parse_config(raw, "t")


@dataclass
class Workers(TrainerClient):
    """A trainer of `workers` workers, whose jobs take three polls each, first come first served."""

    workers: int
    fails: str = ""
    log: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(httpx.AsyncClient())

    async def submit(self, request: TrainRequest) -> Job:
        self.log.append(f"submit {request.name}")
        self.steps.setdefault(request.name, 0)
        return self._job(request.name)

    async def job(self, job_id: str) -> Job:
        running = [name for name, step in self.steps.items() if step < 3][: self.workers]
        if job_id in running:
            self.steps[job_id] += 1
            if self.steps[job_id] == 3:
                self.log.append(f"done {job_id}")
        return self._job(job_id)

    def _job(self, name: str) -> Job:
        step = self.steps[name]
        failed = name == self.fails and step == 3
        state = JobState.FAILED if failed else JobState.DONE if step == 3 else JobState.RUNNING if step else JobState.QUEUED
        request = TrainRequest(run_id="r", name=name, dataset="tracks/direct.jsonl")
        error = {"error": "2 rows are cut", "error_kind": "InvalidInput"} if failed else {}
        return Job(id=name, state=state, request=request, progress=Progress(step=step, total_steps=3), **error)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_POLL_S", 0.001)


async def test_one_at_a_time_is_the_default_order() -> None:
    trainer = Workers(4)
    jobs = await training.train(config(1), "r", trainer, Reporter())
    assert [job.id for job in jobs] == ["direct", "dpo", "cot", "context"]
    assert trainer.log == [f"{what} {name}" for name in ("direct", "dpo", "cot", "context") for what in ("submit", "done")]


async def test_an_heir_waits_for_what_it_starts_from_while_others_train() -> None:
    trainer = Workers(4)
    jobs = await training.train(config(4), "r", trainer, Reporter())
    assert [job.id for job in jobs] == ["direct", "dpo", "cot", "context"]
    assert trainer.log.index("submit dpo") > trainer.log.index("done direct")
    assert max(trainer.log.index(f"submit {name}") for name in ("direct", "cot", "context")) < 3


async def test_no_more_than_asked_for_are_handed_over() -> None:
    trainer = Workers(4)
    await training.train(config(2), "r", trainer, Reporter())
    open_at_once = peak = 0
    for entry in trainer.log:
        open_at_once += 1 if entry.startswith("submit") else -1
        peak = max(peak, open_at_once)
    assert peak == 2


async def test_one_that_waits_behind_another_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SILENCE_S", 0.05)
    trainer, job = Workers(1), Workers.job

    async def slow(self: Workers, job_id: str) -> Job:
        await asyncio.sleep(0.01)
        return await job(self, job_id)

    monkeypatch.setattr(Workers, "job", slow)
    await training.train(config(4), "r", trainer, Reporter())
    assert sorted(entry for entry in trainer.log if entry.startswith("submit")) == ["submit context", "submit cot", "submit direct", "submit dpo"]


async def test_the_first_that_fails_ends_the_stage() -> None:
    with pytest.raises(InvalidInput, match="training cot failed: 2 rows are cut"):
        await training.train(config(4), "r", Workers(4, fails="cot"), Reporter())
