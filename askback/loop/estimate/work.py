"""The pieces of work that the teacher is paid for, whole and without what is there already."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from askback.contracts.client import TeacherClient
from askback.contracts.records import FURTHER, Condition, HarvestStage, Prediction
from askback.contracts.student import BASE
from askback.contracts.teacher import Backend, PriceResponse
from askback.loop.choose import held_out_run
from askback.loop.config import RunConfig
from askback.loop.estimate.calls import Call, Count, asks_teacher
from askback.loop.estimate.earlier import lines_of
from askback.loop.estimate.expected import Expected
from askback.loop.estimate.money import amount
from askback.loop.estimate.result import Item
from askback.loop.estimate.teacher_facts import Prices, cached
from askback.loop.harvest import Row
from askback.loop.store import RunStore


@dataclass(frozen=True)
class Work:
    """Calls for one purpose."""

    name: str
    calls: list[Call]
    backend: Backend
    price: PriceResponse
    done: set[str] = field(default_factory=set)
    """Ids of the samples that need no call any more."""
    repeats: bool = False
    """Whether an earlier piece of work asks the same."""


@dataclass(frozen=True)
class Priced:
    """A piece of work with its prices."""

    item: Item
    done: int
    repeated: int
    cached: int


@dataclass(frozen=True)
class Counted:
    """All calls by what asks for them. `tests` are those of one condition on dev, `choices` of one on the held-out rows."""

    first_tries: list[Call]
    second_tries: list[Call]
    tests: list[Call]
    choices: list[Call]
    further: list[list[Call]] = field(default_factory=list)
    """Those of the second replies, of the third ones, and so on."""

    @classmethod
    def of(cls, config: RunConfig, count: Count, train: Sequence[Expected], dev: Sequence[Expected], held_out: Sequence[Expected]) -> "Counted":
        """Count what the configuration asks for."""
        hints = count.hints(train, config.harvest) if config.harvest.hint else []
        tests = count.harvest(dev) if any(asks_teacher(condition) for condition in config.evaluate.conditions) else []
        choices = count.harvest(held_out) if any(asks_teacher(condition) for condition in config.deciding) else []
        further = [count.more(train, number) for number in range(1, config.harvest.replies)]
        return cls(count.harvest(train), hints, tests, choices, further)

    @property
    def mean_prompt(self) -> int:
        """Tokens."""
        return round(sum(call.prompt for call in self.first_tries) / max(1, len(self.first_tries)))


def harvest_work(config: RunConfig, counted: Counted, rows: Sequence[Row], who: Backend, prices: Prices) -> list[Work]:
    """The first tries, and where they are configured the second ones and further replies."""
    taught = {row.sample.id for row in rows if HarvestStage.TEACHER in row.records or row.failed}
    work = [Work("harvest", counted.first_tries, who, prices.own, taught)]
    if config.harvest.hint:
        over = {row.sample.id for row in rows if row.finished or HarvestStage.HINT in row.records}
        work.append(Work("harvest, second try", counted.second_tries, who, prices.own, over))
    for stage, calls in zip(FURTHER, counted.further, strict=False):
        there = {row.sample.id for row in rows if row.finished or stage in row.records}
        work.append(Work(f"harvest, {stage}", calls, who, prices.own, there))
    return work


def tested_work(config: RunConfig, counted: Counted, store: RunStore | None, who: Backend, prices: Prices) -> list[Work]:
    """One call a held-out row, and one a test question, for each condition that asks the teacher.

    Conditions of one adapter ask the same, so that the later ones are answered from the cache. Drafts that are there are the
    base model's; a trained adapter will draft others, so for it they count for their length alone.
    """
    beside = held_out_run(store) if store is not None else None
    chosen = _asked("choose", config.deciding, counted.choices, beside, who, prices) if config.data.held_out else []
    return chosen + _asked("test", config.evaluate.conditions, counted.tests, store, who, prices)


def _asked(purpose: str, conditions: Sequence[Condition], calls: Sequence[Call], store: RunStore | None, who: Backend, prices: Prices) -> list[Work]:
    """The calls of each condition; `store` has the predictions that are there."""
    work: list[Work] = []
    asking: set[str] = set()
    for condition in conditions:
        if not asks_teacher(condition):
            continue
        own = list(calls) if condition.adapter == BASE else [replace(call, exact=()) for call in calls]
        done = _predicted(store, condition.name)
        work.append(Work(f"{purpose} {condition.name}", own, who, prices.own, done, condition.adapter in asking))
        asking.add(condition.adapter)
    return work


async def priced(work: Work, other: PriceResponse | None, teacher: TeacherClient) -> Priced:
    """`work` in dollars, whole and with what is left of it."""
    waiting = [call for call in work.calls if call.sample_id not in work.done]
    asked = [] if work.repeats else waiting
    there = await cached(teacher, work.backend, asked) if work.backend.kind == "openai" else [False] * len(asked)
    left = [call for call, is_there in zip(asked, there, strict=True) if not is_there]
    item = Item(name=work.name, whole=amount(work.calls, work.price, other), left=amount(left, work.price, other))
    return Priced(item, len(work.calls) - len(waiting), len(waiting) - len(asked), sum(there))


def _predicted(store: RunStore | None, condition: str) -> set[str]:
    if store is None:
        return set()
    return {prediction.sample_id for prediction in lines_of(store.path("predictions", f"{condition}.jsonl"), Prediction)}
