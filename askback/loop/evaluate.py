"""Stage `evaluate`: load the adapters into the running engine, answer the dev questions under every condition."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from hashlib import file_digest

from askback.contracts.client import StudentClient
from askback.contracts.errors import BudgetExceeded, ServiceError, UpstreamUnavailable
from askback.contracts.records import Condition, Prediction, Sample
from askback.contracts.student import BASE, Adapter, AnswerMode, AnswerRequest, AskRequest, CotForm, Resolver
from askback.loop.concurrently import concurrently
from askback.loop.config import EvaluateConfig, RunConfig
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.loop.store import RunStore

Predict = Callable[[Sample], Awaitable[Prediction]]


def served_name(store: RunStore, adapter: str) -> str:
    """Name under which the engine serves the run's adapter: unique to its weights, because prefix caches key on the name."""
    with store.path("adapters", adapter, "adapter_model.safetensors").open("rb") as weights:
        return f"{store.run_id}-{adapter}-{file_digest(weights, 'sha256').hexdigest()[:6]}"


async def load_adapters(store: RunStore, adapters: Sequence[str], student: StudentClient) -> dict[str, str]:
    """Load the run's adapters into the running engine; returns the served name of each, `base` among them."""
    names = {BASE: BASE}
    for adapter in adapters:
        names[adapter] = served_name(store, adapter)
        path = f"{store.run_id}/adapters/{adapter}"
        await patiently(partial(student.load, Adapter(name=names[adapter], path=path)))
    return names


async def evaluate(
    config: RunConfig, samples: Sequence[Sample], names: dict[str, str], store: RunStore, student: StudentClient, reporter: Reporter
) -> dict[str, dict[str, int]]:
    """Predictions of every condition in `predictions/<condition>.jsonl`; what is there is kept. Returns counts by condition.

    `names` are the served names of the adapters. Mode `cot` is asked in the form of the run's track, and the run's own teacher
    answers the student's questions.
    """
    counts = {}
    for condition in config.evaluate.conditions:
        common = {"adapter": names[condition.adapter]}
        if condition.mode in ("assisted", "context"):
            common |= {"run": store.run_id, "teacher": config.harvest.teacher}
        predict = partial(_predict, condition, config.tracks.cot, common, student)
        counts[condition.name] = await _answer_all(config.evaluate, condition, samples, predict, store, reporter)
    return counts


async def _answer_all(
    config: EvaluateConfig, condition: Condition, samples: Sequence[Sample], predict: Predict, store: RunStore, reporter: Reporter
) -> dict[str, int]:
    file = f"predictions/{condition.name}.jsonl"
    done = {prediction.sample_id: prediction for prediction in store.read_records(file, Prediction)}
    store.write_text(f"predictions/{condition.name}.condition.json", condition.model_dump_json() + "\n")
    with reporter.bar(condition.name, len(samples)) as bar, store.appender(file) as kept:
        bar.advance(len(done))

        async def one(sample: Sample) -> None:
            prediction = await _guarded(sample, predict)
            kept.append(prediction)
            done[sample.id] = prediction
            bar.advance()

        await concurrently(config.concurrency, [sample for sample in samples if sample.id not in done], one)
    store.write_records(file, [done[sample.id] for sample in samples])
    return {"predictions": len(done), "failed": sum(prediction.error is not None for prediction in done.values())}


async def _guarded(sample: Sample, predict: Predict) -> Prediction:
    try:
        return await patiently(partial(predict, sample))
    except (UpstreamUnavailable, BudgetExceeded):
        raise
    except ServiceError as error:
        return Prediction(sample_id=sample.id, answer=None, error=f"{type(error).__name__}: {error}")


async def _predict(condition: Condition, cot: CotForm, common: Mapping[str, str], student: StudentClient, sample: Sample) -> Prediction:
    fields = {"task": sample.task, "question": sample.question, "question_id": sample.id, "passages": sample.passages, **common}
    if condition.mode in ("assisted", "context"):
        request = AskRequest(**fields, resolver=Resolver(condition.resolver), one_turn=condition.mode == "context")  # type: ignore[arg-type]
        asked = await student.ask(request)
        final, usage = asked.final, asked.usage
        draft, exchanges = asked.draft, asked.exchanges
    else:
        final = await student.answer(AnswerRequest(**fields, mode=AnswerMode(condition.mode), cot=cot))  # type: ignore[arg-type]
        usage, draft, exchanges = final.usage, None, []
    return Prediction(
        sample_id=sample.id,
        answer=final.answer,
        text=final.text,
        p_yes=final.p_yes,
        supporting_facts=final.supporting_facts,
        draft=draft,
        exchanges=exchanges,
        usage=usage,
    )
