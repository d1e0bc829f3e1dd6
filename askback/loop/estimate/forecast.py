"""`askback estimate`: tokens and dollars of a run, before anything is spent."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from askback.contracts.client import TeacherClient
from askback.contracts.records import HarvestRecord, Sample
from askback.contracts.teacher import Backend, PriceResponse
from askback.loop.config import RunConfig
from askback.loop.estimate.calls import Count, mean_completion
from askback.loop.estimate.comparison import compare
from askback.loop.estimate.earlier import harvests, lines_of, texts_of
from askback.loop.estimate.expected import NO_REPLY, Expected, Known, expect, sources
from askback.loop.estimate.plan import completion_tokens, plan_lines
from askback.loop.estimate.result import Amount, Estimate, Item
from askback.loop.estimate.rows import held_out_of, samples_of
from askback.loop.estimate.student import Student
from askback.loop.estimate.teacher_facts import Prices, answerer, prices_of
from askback.loop.estimate.work import Counted, Priced, harvest_work, priced, tested_work
from askback.loop.harvest import Row, rows_of, versions_of
from askback.loop.recordings import read_recordings, recording_files
from askback.loop.store import RunStore
from askback.loop.tiktoken_counter import counter_of
from askback.loop.tokenizers_counter import TokenCounter
from askback.tasks import Task, task_named

CounterOf = Callable[[str, TokenCounter], TokenCounter]
_TEST_QUESTIONS = 2  # the most that the student asks at test time


@dataclass(frozen=True)
class _Questions:
    """The splits as they are expected."""

    train: list[Expected]
    dev: list[Expected]
    held_out: list[Expected]
    known: Known
    recorded_model: str
    """The model that most recorded answers came from; empty without any."""

    @property
    def every(self) -> list[Expected]:
        return [*self.train, *self.dev, *self.held_out]

    def facts(self) -> dict[str, object]:
        """Fields of the estimate: how many there are, and where their texts come from."""
        drafts, replies = sources([one.drafted_from for one in self.every]), sources([one.replied_from for one in self.every])
        rows = {"rows": len(self.train), "dev_rows": len(self.dev), "held_out_rows": len(self.held_out)}
        return {**rows, "drafts": drafts, "replies": replies}


async def estimate(
    config: RunConfig,
    store: RunStore | None,
    teacher: TeacherClient,
    student_counter: TokenCounter,
    runs: Path = Path("runs"),
    price_as: str = "",
    counter_for: CounterOf = counter_of,
) -> Estimate:
    """What the run would cost at its teacher, online and as batches, with and without what is there already.

    `store` is the run's own folder where it has one; `runs` holds all runs, whose drafts and replies are used again. `price_as`
    names a model of OpenAI's whose price stands beside; without it, recorded answers are priced as the model that they came
    from. `student_counter` counts for the student, and for a teacher that `counter_for` has no vocabulary for. Nothing is bought
    and nothing is written. Raises InvalidInput for a backend, a model or data that cannot be used.
    """
    task = task_named(config.task)
    who = await answerer(teacher, config.harvest.teacher)
    train, dev, notes = samples_of(config, store)
    questions = _questions(config, task, (train, dev, held_out_of(config, store)), runs, who, store)
    bought = who.kind == "openai"
    other = price_as or ("" if bought else questions.recorded_model)
    counter = counter_for(who.model if bought else other, student_counter)
    count = Count(task, counter, mean_completion(questions.every, counter, completion_tokens(task.name)))
    counted = Counted.of(config, count, questions.train, questions.dev, questions.held_out)
    prices = await prices_of(teacher, who, counted.mean_prompt, other, bool(price_as))
    rows = _rows(config, task, store, train)
    work = harvest_work(config, counted, rows, who, prices) + tested_work(config, counted, store, who, prices)
    bill = _bill(config, who, prices, [await priced(one, prices.other, teacher) for one in work])
    told = {
        "student": Student(config, task, student_counter).items(questions.train, questions.dev, questions.held_out),
        "counted_by": counter.name,
        "student_counted_by": student_counter.name,
        "plan": plan_lines(bill.spending_price),
        "comparison": compare(count, questions.known, rows, config.harvest),
        "notes": [*notes, *_warnings(config, who, prices, questions)],
    }
    return bill.model_copy(update=told | questions.facts())


def _questions(config: RunConfig, task: Task, splits: Sequence[Sequence[Sample]], runs: Path, who: Backend, store: RunStore | None) -> _Questions:
    train, dev, held_out = splits
    wanted = {sample.id for split in splits for sample in split}
    recordings = [recording for recording in read_recordings(recording_files(config), wanted) if recording.sample_index == 0]
    models = Counter(recording.model for recording in recordings).most_common(1)
    drafts, replies = texts_of(harvests(runs), wanted, task.prompt_version("clarify"), who.name)
    if config.previous:  # an earlier student drafts otherwise, so that only this run's own drafts are known word for word
        drafts, _ = texts_of([store.path("harvest.jsonl")] if store else [], wanted, task.prompt_version("clarify"), who.name)
    known = Known(drafts, {recording.question_id: recording.completion for recording in recordings}, replies)
    return _Questions(
        train=expect(task, train, known, config.harvest.max_questions),
        dev=expect(task, dev, known, _TEST_QUESTIONS),
        held_out=expect(task, held_out, known, _TEST_QUESTIONS),
        known=known,
        recorded_model=models[0][0] if models else "",
    )


def _rows(config: RunConfig, task: Task, store: RunStore | None, train: Sequence[Sample]) -> list[Row]:
    records = lines_of(store.path("harvest.jsonl"), HarvestRecord) if store is not None else ()
    return rows_of(train, records, versions=versions_of(task, config.harvest.hint, config.harvest.replies))


def _bill(config: RunConfig, who: Backend, prices: Prices, done: Sequence[Priced]) -> Estimate:
    items = [one.item for one in done]
    total = Item(name="total", whole=Amount.of(item.whole for item in items), left=Amount.of(item.left for item in items))
    paid = who.kind == "openai"
    return Estimate(
        name=config.name,
        task=config.task,
        teacher=who.name,
        price=prices.own,
        other_price=prices.other,
        items=items,
        total=total,
        done=sum(one.done for one in done),
        repeated=sum(one.repeated for one in done),
        cached=sum(one.cached for one in done) if paid else None,
    )


def _warnings(config: RunConfig, who: Backend, prices: Prices, questions: _Questions) -> list[str]:
    warnings = [_unknown(prices.own)] if _is_unknown(prices.own) else []
    if who.missing:
        warnings.append(f"backend {who.name!r} cannot be asked yet: {who.missing}")
    if any(one.replied_from == NO_REPLY for one in questions.every):
        warnings.append("some rows have neither a recorded answer nor annotations; the mean length of the other replies, or the plan's, stands in")
    return warnings


def _is_unknown(price: PriceResponse) -> bool:
    return price.prompt_usd_per_million is None


def _unknown(price: PriceResponse) -> str:
    return (
        f"price not known: model {price.model!r} of backend {price.backend!r}; set price_per_million_prompt_usd and"
        " price_per_million_completion_usd in the backends file"
    )
