"""Error analysis: how many rows went which way, and real rows of each kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from askback.contracts.records import Draft, Exchange, HarvestRecord, HarvestStage, Prediction, Sample
from askback.tasks import Task
from services.evaluator.metrics.benchmark import is_right

KINDS = {
    "fixed": "Fixed by asking: the draft is wrong, the answer after the exchange is right",
    "broken": "Broken by asking: the draft is right, the answer after the exchange is wrong",
    "teacher wrong": "Teacher wrong: the teacher's verdict in the harvest differs from gold",
    "unparsable": "Unparsable: no answer can be read from the text, which counts as wrong",
    "failed": "Failed: the prediction ended in an error, which counts as wrong",
}
"""What each kind means, in the order in which they are shown."""
SHOWN = 3


@dataclass(frozen=True)
class ExampleRow:
    """A row with all that led to its answer; empty parts were not there."""

    kind: str
    sample_id: str
    where: str
    """The condition, or `harvest`."""
    question: str
    gold: str
    final: str
    """The answer after the exchange, or the teacher's verdict; empty when there is none."""
    draft: Draft | None = None
    exchanges: Sequence[Exchange] = ()
    text: str = ""
    """The model's own words: the prediction's text, the teacher's reasoning, or the error."""


@dataclass(frozen=True)
class Examples:
    """`rows` holds at most SHOWN rows of each kind; `counts` holds all, by kind and place."""

    rows: Sequence[ExampleRow] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def of(self, kind: str) -> list[ExampleRow]:
        return [row for row in self.rows if row.kind == kind]


def examples(
    task: Task,
    samples: Sequence[Sample],
    predictions: Mapping[str, Sequence[Prediction]],
    harvest: Sequence[HarvestRecord],
    known: Mapping[str, Sample],
    seed: int,
) -> Examples:
    """Rows of each kind, chosen by a hash of `seed` and the row, so that a rerun shows the same.

    `predictions` holds those of each condition in the order of `samples`; `known` holds the questions of every split by id.
    """
    found = [*_tested(task, samples, predictions), *_harvested(task, harvest, known)]
    counts: dict[str, dict[str, int]] = {}
    for row in found:
        places = counts.setdefault(row.kind, {})
        places[row.where] = places.get(row.where, 0) + 1
    ordered = sorted(found, key=lambda row: sha256(f"{seed}|{row.kind}|{row.where}|{row.sample_id}".encode()).digest())
    return Examples([row for kind in KINDS for row in _varied([row for row in ordered if row.kind == kind])], counts)


def _varied(rows: Sequence[ExampleRow]) -> list[ExampleRow]:
    """The first rows, of as many places as there are before a second of any, and no question twice."""
    shown: list[ExampleRow] = []
    for _ in range(SHOWN):
        times = {row.where: sum(other.where == row.where for other in shown) for row in rows}
        asked = {row.sample_id for row in shown}
        left = [row for row in rows if row.sample_id not in asked]
        if left:
            shown.append(min(left, key=lambda row: times[row.where]))
    return shown


def _tested(task: Task, samples: Sequence[Sample], predictions: Mapping[str, Sequence[Prediction]]) -> Iterator[ExampleRow]:
    for name, answers in predictions.items():
        for sample, prediction in zip(samples, answers, strict=True):
            if kind := _kind(task, sample, prediction):
                final, text = prediction.answer or "", prediction.error or prediction.text
                yield ExampleRow(kind, sample.id, name, sample.question, sample.answer, final, prediction.draft, prediction.exchanges, text)


def _kind(task: Task, sample: Sample, prediction: Prediction) -> str:
    """Empty for a row that is of no kind."""
    if prediction.error is not None:
        return "failed"
    if prediction.answer is None:
        return "unparsable"
    if prediction.draft is None or not prediction.exchanges:
        return ""
    before, after = task.is_correct(prediction.draft.answer, sample), is_right(task, sample, prediction)
    return "" if before == after else "fixed" if after else "broken"


def _harvested(task: Task, harvest: Sequence[HarvestRecord], known: Mapping[str, Sample]) -> Iterator[ExampleRow]:
    """Rows whose first verdict differs from gold."""
    drafts = _last(harvest, HarvestStage.DRAFT)
    for sample_id, record in _last(harvest, HarvestStage.TEACHER).items():
        sample, reply = known.get(sample_id), record.reply
        if sample and reply and not task.is_correct(reply.answer, sample):
            draft = drafts[sample_id].draft if sample_id in drafts else None
            yield ExampleRow(
                "teacher wrong", sample_id, "harvest", sample.question, sample.answer, reply.answer, draft, reply.exchanges, reply.thought
            )


def _last(harvest: Iterable[HarvestRecord], stage: HarvestStage) -> dict[str, HarvestRecord]:
    return {record.sample_id: record for record in harvest if record.stage is stage and record.error is None}
