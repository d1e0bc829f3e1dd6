"""Stage `train`: one job per adapter; an adapter may start from one before it in the configuration."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from askback.contracts import errors
from askback.contracts.client import TrainerClient
from askback.contracts.trainer import Job, JobState, TrainRequest
from askback.loop.concurrently import concurrently
from askback.loop.config import AdapterConfig, RunConfig
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.loop.tracks import file_of

_POLL_S = 1.0
_SILENCE_S = 60.0  # where none has moved for so long, one is sent again: its worker may be gone


async def train(config: RunConfig, run_id: str, trainer: TrainerClient, reporter: Reporter) -> list[Job]:
    """Train every adapter, in the order of the configuration and `config.train.at_once` at a time; a job that is done already is taken as it is.

    Raises the error of the first job that fails; the trainer finishes what it has been handed by then.
    """
    done: dict[str, Job] = {}
    trained = {adapter.name: asyncio.Event() for adapter in config.adapters}
    watch = _Watch()

    async def one(adapter: AdapterConfig) -> None:
        if adapter.init:
            await trained[adapter.init].wait()
        done[adapter.name] = await _finish(_request(config, run_id, adapter), trainer, reporter, watch)
        trained[adapter.name].set()

    await concurrently(config.train.at_once, config.adapters, one)
    return [done[adapter.name] for adapter in config.adapters]


class _Watch:
    """When any of the run's trainings last moved: one that waits behind another is not lost."""

    def __init__(self) -> None:
        self._moved = time.monotonic()

    def moved(self) -> None:
        self._moved = time.monotonic()

    def silent(self) -> bool:
        return time.monotonic() - self._moved > _SILENCE_S


def _request(config: RunConfig, run_id: str, adapter: AdapterConfig) -> TrainRequest:
    return TrainRequest(
        run_id=run_id,
        name=adapter.name,
        method=adapter.method,
        dataset=file_of(adapter.track, adapter.tracks),
        init_adapter=f"adapters/{adapter.init}" if adapter.init else "",
        recipe=config.recipe_of(adapter),
        seed=config.seed if adapter.seed is None else adapter.seed,
    )


async def _finish(request: TrainRequest, trainer: TrainerClient, reporter: Reporter, watch: _Watch) -> Job:
    job = await patiently(partial(trainer.submit, request))
    with reporter.bar(f"train {request.name}", job.progress.total_steps) as bar:
        step = job.progress.step
        watch.moved()
        while job.state in (JobState.QUEUED, JobState.RUNNING):
            await asyncio.sleep(_POLL_S)
            job = await patiently(partial(trainer.job, job.id))
            bar.move_to(job.progress.step, job.progress.total_steps)
            bar.note(_note(job))
            if job.progress.step != step:
                step = job.progress.step
                watch.moved()
            elif watch.silent():
                job = await patiently(partial(trainer.submit, request))
                watch.moved()
    if job.state is JobState.FAILED:
        kind = errors.ERRORS.get(job.error_kind, errors.ServiceError)
        raise kind(f"training {request.name} failed: {job.error}")
    reporter.say(f"  adapter {request.name}: {falls(job)}")
    return job


def _note(job: Job) -> str:
    parts = []
    if job.progress.loss is not None:
        parts.append(f"loss {job.progress.loss:.3f}")
    if job.progress.tokens_per_s is not None:
        parts.append(f"{job.progress.tokens_per_s:.0f} tokens/s")
    return "  ".join(parts)


def falls(job: Job) -> str:
    """First and last loss in words; each is the mean over a quarter of the steps, since single steps are noisy."""
    losses = [point.loss for point in job.losses]
    if not losses:
        return "no loss was logged"
    first, last = first_and_last(losses)
    return f"loss {first:.3f} → {last:.3f} over {len(losses)} steps"


def first_and_last(losses: Sequence[float]) -> tuple[float, float]:
    """Means of the first and the last quarter of `losses`."""
    quarter = max(1, len(losses) // 4)
    return sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
