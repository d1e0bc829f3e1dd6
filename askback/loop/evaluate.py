"""Stage `evaluate`: load the adapters into the running engine, answer the dev questions under every condition."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from askback.contracts.client import StudentClient
from askback.contracts.errors import BudgetExceeded, ServiceError, UpstreamUnavailable
from askback.contracts.records import Condition, Prediction, Sample
from askback.contracts.student import BASE, Adapter, AnswerMode, AnswerRequest, Asker, AskRequest, CotForm, Resolver
from askback.loop.concurrently import concurrently
from askback.loop.config import EvaluateConfig, RunConfig
from askback.loop.patience import patiently
from askback.loop.progress import Reporter
from askback.loop.store import RunStore, file_sha256

Predict = Callable[[Sample], Awaitable[Prediction]]


def served_name(store: RunStore, adapter: str) -> str:
    """Name under which the engine serves the run's adapter: unique to its weights, because prefix caches key on the name."""
    weights = store.path("adapters", adapter, "adapter_model.safetensors")
    return f"{store.run_id}-{adapter}-{file_sha256(weights)[:6]}"


async def load_adapters(store: RunStore, adapters: Sequence[str], student: StudentClient) -> dict[str, str]:
    """Load the run's adapters into the running engine; returns the served name of each, `base` among them."""
    names = {BASE: BASE}
    for adapter in adapters:
        names[adapter] = served_name(store, adapter)
        path = f"{store.run_id}/adapters/{adapter}"
        await patiently(partial(student.load, Adapter(name=names[adapter], path=path)))
    return names


async def evaluate(
    config: RunConfig,
    samples: Sequence[Sample],
    names: dict[str, str],
    store: RunStore,
    student: StudentClient,
    reporter: Reporter,
    retry_errors: bool = False,
    payer: str = "",
) -> dict[str, dict[str, int]]:
    """Predictions of every condition in `predictions/<condition>.jsonl`; what is there is kept, with `retry_errors` without those that failed.
    Returns counts by condition.

    `names` are the served names of the adapters. Mode `cot` is asked in the form of the adapter's own tracks, and the run's own teacher
    answers the student's questions, or gives its own in mode `tutored`. `payer` is the run that pays for them, by default the one of `store`.
    """
    counts = {}
    for condition in config.evaluate.conditions:
        common = {"adapter": names[condition.adapter]}
        if condition.asks:
            common |= {"run": payer or store.run_id, "teacher": config.harvest.teacher, "index": config.data.index}
        predict = partial(_predict, condition, config.cot_of(condition.adapter), common, student)
        done = _kept(store, condition, retry_errors)
        counts[condition.name] = await _answer_all(config.evaluate, condition, samples, predict, store, reporter, done)
    return counts


def _kept(store: RunStore, condition: Condition, retry_errors: bool) -> dict[str, Prediction]:
    """The predictions that stand, by sample; of two for one sample the later."""
    found = store.read_records(_file(condition), Prediction)
    return {prediction.sample_id: prediction for prediction in found if not (retry_errors and prediction.error)}


def _file(condition: Condition) -> str:
    return f"predictions/{condition.name}.jsonl"


async def _answer_all(
    config: EvaluateConfig,
    condition: Condition,
    samples: Sequence[Sample],
    predict: Predict,
    store: RunStore,
    reporter: Reporter,
    done: dict[str, Prediction],
) -> dict[str, int]:
    file = _file(condition)
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


def seen(condition: Condition, sample: Sample) -> Sample:
    """`sample` as it is asked under `condition`: closed book without its passages."""
    return sample.model_copy(update={"passages": []}) if condition.mode == "closed_book" else sample


async def _predict(condition: Condition, cot: CotForm, common: Mapping[str, str], student: StudentClient, sample: Sample) -> Prediction:
    passages = seen(condition, sample).passages
    fields = {"task": sample.task, "question": sample.question, "question_id": sample.id, "passages": passages, **common}
    if condition.asks:
        asker = Asker.TEACHER if condition.mode == "tutored" else Asker.STUDENT
        request = AskRequest(**fields, resolver=Resolver(condition.resolver), asker=asker, one_turn=condition.mode == "context")  # type: ignore[arg-type]
        asked = await student.ask(request)
        final, usage = asked.final, asked.usage
        draft, exchanges = asked.draft, asked.exchanges
    else:
        mode = AnswerMode.COT if condition.mode == "cot" else AnswerMode.DIRECT
        final = await student.answer(AnswerRequest(**fields, mode=mode, cot=cot))  # type: ignore[arg-type]
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
