"""How uncertain the student is about each question, so that the teacher is asked about the least certain ones."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

from askback.contracts.client import StudentClient
from askback.contracts.errors import BudgetExceeded, InvalidInput, ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Probe, Sample
from askback.contracts.student import AnswerMode, AnswerRequest, AnswerResponse
from askback.loop.concurrently import concurrently
from askback.loop.config import DataConfig, RunConfig
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.loop.store import RunStore
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer

FILE = "samples/uncertainty.jsonl"

_TEMPERATURE = 0.7
_SEEDS = 2**31  # engines take no negative seeds
_YES_NO = ("yes", "no")


async def ask_all(
    config: RunConfig, task: Task, pool: Sequence[Sample], student: StudentClient, store: RunStore, reporter: Reporter, adapter: str
) -> list[Probe]:
    """What the student says to each of `pool`, in its order. Each probe is fsynced to `FILE`, and an answered one is not asked again.
    `adapter` is the student's that is asked.

    Raises UpstreamUnavailable when the student stays away, and InvalidInput when it answered no question at all.
    """
    version = task.prompt_version(AnswerMode.DIRECT)
    done = {one.sample_id: one for one in store.read_records(FILE, Probe) if one.prompt_version == version and not one.error}
    left = [sample for sample in pool if sample.id not in done]
    with reporter.bar("uncertainty", len(pool)) as bar, store.appender(FILE) as kept:
        bar.advance(len(pool) - len(left))

        async def ask(sample: Sample) -> None:
            probe = await _guarded(config, task, sample, student, adapter)
            await asyncio.wrap_future(kept.append(probe))
            done[sample.id] = probe
            bar.advance()

        await concurrently(config.harvest.concurrency, left, ask)
    probes = [done[sample.id] for sample in pool]
    if probes and all(probe.error for probe in probes):
        field = "sampling" if config.data.sampling == "uncertainty" else "probe"
        raise InvalidInput(f"data.{field}: the student answered none of {len(probes)} questions; the first error: {probes[0].error}")
    return probes


async def _guarded(config: RunConfig, task: Task, sample: Sample, student: StudentClient, adapter: str) -> Probe:
    """The probe, or one with its error; a service that stays away or money that ends is not the row's fault and ends the stage."""
    ask = _p_yes if task.choices == _YES_NO else _disagreement
    try:
        return await ask(config, task, sample, student, adapter)
    except (UpstreamUnavailable, BudgetExceeded):
        raise
    except ServiceError as error:
        return Probe(sample_id=sample.id, error=f"{type(error).__name__}: {error}", prompt_version=task.prompt_version(AnswerMode.DIRECT))


async def _p_yes(config: RunConfig, task: Task, sample: Sample, student: StudentClient, adapter: str) -> Probe:
    """One token: 1 where P(yes) is one half, 0 where it is 0 or 1."""
    answer = await _answer(sample, student, adapter)
    if answer.p_yes is None:
        raise UpstreamRejected(f"the student's first token is neither yes nor no: {answer.text[:80]!r}")
    uncertainty = round(1 - 2 * abs(answer.p_yes - 0.5), 6)
    version = task.prompt_version(AnswerMode.DIRECT)
    return Probe(sample_id=sample.id, p_yes=answer.p_yes, uncertainty=uncertainty, model=answer.model, prompt_version=version)


async def _disagreement(config: RunConfig, task: Task, sample: Sample, student: StudentClient, adapter: str) -> Probe:
    """Sampled answers one after the other: 1 - the share of the commonest; an answer that cannot be parsed is one of its own."""
    seeds = [config.seed % _SEEDS + number for number in range(config.data.samples)]
    sampled = [await _answer(sample, student, adapter, _TEMPERATURE, seed) for seed in seeds]
    answers = [normalize_answer(one.answer or "") for one in sampled]
    commonest = Counter(answers).most_common(1)[0][1]
    uncertainty = round(1 - commonest / len(answers), 6)
    version = task.prompt_version(AnswerMode.DIRECT)
    return Probe(sample_id=sample.id, answers=answers, uncertainty=uncertainty, model=sampled[0].model, prompt_version=version)


async def _answer(sample: Sample, student: StudentClient, adapter: str, temperature: float = 0.0, seed: int | None = None) -> AnswerResponse:
    request = AnswerRequest(
        task=sample.task,
        question=sample.question,
        question_id=sample.id,
        passages=sample.passages,
        adapter=adapter,
        mode=AnswerMode.DIRECT,
        temperature=temperature,
        seed=seed,
    )
    return await patiently(partial(student.answer, request))


def known(probes: Sequence[Probe]) -> dict[str, float]:
    """How uncertain the student was, by the question's id; of two probes of one question the later counts, and failed ones say nothing."""
    last = {probe.sample_id: probe for probe in probes}
    return {name: probe.uncertainty for name, probe in last.items() if probe.uncertainty is not None}


def facts(data: DataConfig, taken: Sequence[Sample], probes: Sequence[Probe]) -> dict[str, Any]:
    """How the rows were sampled, for the data card; `probes` are all lines of `FILE`, of which the last of a row counts."""
    if data.sampling != "uncertainty":
        return {"by": data.sampling}
    last, doubts = {probe.sample_id: probe for probe in probes}, known(probes)
    ours = [doubts[sample.id] for sample in taken if sample.id in doubts]
    failed = sum(probe.error is not None for probe in last.values())
    medians = {"median_of_asked": _median(list(doubts.values())), "median_of_taken": _median(ours)}
    return {"by": data.sampling, "asked": len(last), "failed": failed, "samples": data.samples, **medians}


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 4) if values else None
