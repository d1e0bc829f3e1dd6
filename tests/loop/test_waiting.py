"""How the loop waits: for services that are away, for many rows at once, for jobs that train."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from askback.contracts.client import TrainerClient
from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, LossPoint, Progress, TrainRequest
from askback.loop import patience
from askback.loop import train as training
from askback.loop.concurrently import concurrently
from askback.loop.config import parse_config
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.loop.train import first_and_last, train


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_DELAYS_S", (0.0, 0.0))
    monkeypatch.setattr(training, "_POLL_S", 0.0)


class TestPatience:
    @pytest.mark.parametrize(("away", "calls"), [(0, 1), (1, 2), (2, 3)])
    async def test_a_service_that_comes_back_is_waited_for(self, away: int, calls: int) -> None:
        made = []

        async def call() -> str:
            made.append(1)
            if len(made) <= away:
                raise UpstreamUnavailable("away")
            return "here"

        assert await patiently(call) == "here"
        assert len(made) == calls

    async def test_one_that_stays_away_is_an_error_in_the_end(self) -> None:
        async def call() -> str:
            raise UpstreamUnavailable("gone")

        with pytest.raises(UpstreamUnavailable, match="gone"):
            await patiently(call)

    async def test_other_errors_are_not_repeated(self) -> None:
        made = []

        async def call() -> str:
            made.append(1)
            raise InvalidInput("no")

        with pytest.raises(InvalidInput):
            await patiently(call)
        assert made == [1]


class TestConcurrently:
    async def test_at_most_the_limit_runs_and_all_is_done(self) -> None:
        running, peak, done = 0, 0, []

        async def work(item: int) -> None:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0)
            running -= 1
            done.append(item)

        await concurrently(3, range(20), work)
        assert (peak, sorted(done)) == (3, list(range(20)))

    async def test_the_first_error_is_raised_as_it_is_and_stops_the_rest(self) -> None:
        done = []

        async def work(item: int) -> None:
            if item == 1:
                raise InvalidInput("item 1")
            await asyncio.sleep(0.01)
            done.append(item)

        with pytest.raises(InvalidInput, match="item 1"):
            await concurrently(2, range(10), work)
        assert done == []


CONFIG = parse_config(
    {"name": "t", "task": "strategyqa", "adapters": [{"name": "a", "track": "direct"}], "evaluate": {"conditions": ["base.direct"]}}, "t"
)


@dataclass
class SteppingTrainer(TrainerClient):
    """A job that passes through the given states, one a poll."""

    states: list[Job]
    submitted: int = 0
    polled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(httpx.AsyncClient())

    async def submit(self, request: TrainRequest) -> Job:
        self.submitted += 1
        return self.states[0].model_copy(update={"request": request})

    async def job(self, job_id: str) -> Job:
        self.polled.append(job_id)
        return self.states[min(len(self.polled), len(self.states) - 1)]


def job(state: JobState, step: int, error: str = "", kind: str = "ServiceError") -> Job:
    losses = [LossPoint(step=i, loss=2.0 - i / 10) for i in range(1, step + 1)]
    progress = Progress(step=step, total_steps=4, loss=losses[-1].loss if losses else None, tokens_per_s=90.0)
    request = TrainRequest(run_id="r", name="a", dataset="tracks/direct.jsonl")
    return Job(id="j1", state=state, request=request, progress=progress, losses=losses, error=error, error_kind=kind)


class TestTrain:
    async def test_a_job_is_followed_to_its_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        trainer = SteppingTrainer([job(JobState.QUEUED, 0), job(JobState.RUNNING, 2), job(JobState.DONE, 4)])
        (done,) = await train(CONFIG, "r", trainer, Reporter())
        assert (done.state, trainer.submitted, trainer.polled) == (JobState.DONE, 1, ["j1", "j1"])
        shown = capsys.readouterr().err
        assert "train a" in shown and "4/4" in shown and "loss 1.600" in shown and "loss 1.900 → 1.600 over 4 steps" in shown

    async def test_a_job_that_does_not_move_is_sent_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(training, "_SILENCE_S", -1.0)
        trainer = SteppingTrainer([job(JobState.RUNNING, 1), job(JobState.RUNNING, 1), job(JobState.DONE, 4)])
        await train(CONFIG, "r", trainer, Reporter())
        assert trainer.submitted > 1

    @pytest.mark.parametrize(("kind", "raised"), [("InvalidInput", InvalidInput), ("ServiceError", ServiceError), ("Unheard", ServiceError)])
    async def test_a_failed_job_raises_its_own_class(self, kind: str, raised: type[ServiceError]) -> None:
        trainer = SteppingTrainer([job(JobState.QUEUED, 0), job(JobState.FAILED, 0, "2 rows are cut", kind)])
        with pytest.raises(raised, match="training a failed: 2 rows are cut"):
            await train(CONFIG, "r", trainer, Reporter())

    def test_first_and_last_are_means_of_quarters(self) -> None:
        assert first_and_last([4.0, 2.0, 9.0, 9.0, 9.0, 9.0, 1.0, 3.0]) == (3.0, 2.0)
        assert first_and_last([5.0]) == (5.0, 5.0)
