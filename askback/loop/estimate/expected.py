"""What a row is expected to be: the student's draft and the teacher's reply, real ones where there are any, else stand-ins."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from askback.contracts.errors import InvalidInput, ServiceError
from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Sample
from askback.loop.harvest import Row
from askback.tasks import Task

REAL_DRAFT, GOLD_DRAFT, TYPICAL_DRAFT = "drafts of earlier runs", "gold sub-questions as stand-ins", "typical questions as stand-ins"
RECORDED, REAL_REPLY, GOLD_REPLY, NO_REPLY = "recorded answers", "replies of earlier runs", "gold annotations", "a mean length"

# As long as the questions that small students ask: eight words.
_TYPICAL_QUESTION = "What is the main reason for that event?"


@dataclass(frozen=True)
class Known:
    """Texts by sample id."""

    drafts: Mapping[str, Draft] = field(default_factory=dict)
    recorded: Mapping[str, str] = field(default_factory=dict)
    replies: Mapping[str, str] = field(default_factory=dict)

    def without_runs(self) -> "Known":
        """What is known before anything ran."""
        return Known(recorded=self.recorded)


@dataclass(frozen=True)
class Expected:
    """One row as it is expected."""

    sample: Sample
    draft: Draft
    drafted_from: str
    reply: str | None
    """None where nothing tells its length."""
    replied_from: str

    @property
    def exact(self) -> bool:
        """Whether the teacher's prompt is known word for word."""
        return self.drafted_from == REAL_DRAFT

    @property
    def row(self) -> Row:
        """The row as the harvest sees it once the draft is there."""
        return Row(self.sample, {HarvestStage.DRAFT: HarvestRecord(sample_id=self.sample.id, stage=HarvestStage.DRAFT, draft=self.draft)})

    def answers(self, task: Task) -> list[str]:
        """What the student reads of the reply; empty where that cannot be told."""
        try:
            return task.teacher_answers(self.reply) if self.reply else []
        except ServiceError:
            return []

    def disagrees(self, task: Task) -> bool:
        """Whether the expected verdict differs from gold, so that a second try with a hint follows."""
        try:
            return self.reply is not None and not task.is_correct(task.parse_teacher(self.reply).answer, self.sample)
        except ServiceError:
            return False  # without a verdict the row fails, and no second try follows


def expect(task: Task, samples: Iterable[Sample], known: Known, max_questions: int) -> list[Expected]:
    """Every sample with the draft and the reply that are most likely."""
    expected = []
    for sample in samples:
        draft, drafted_from = _draft(task, sample, known, max_questions)
        reply, replied_from = _reply(task, sample, known)
        expected.append(Expected(sample, draft, drafted_from, reply, replied_from))
    return expected


def _draft(task: Task, sample: Sample, known: Known, max_questions: int) -> tuple[Draft, str]:
    if sample.id in known.drafts:
        return known.drafts[sample.id], REAL_DRAFT
    answer = task.choices[0] if task.choices else sample.answer
    if sample.decomposition:
        return Draft(answer=answer, questions=sample.decomposition[:max_questions]), GOLD_DRAFT
    return Draft(answer=answer, questions=[_TYPICAL_QUESTION] * max_questions), TYPICAL_DRAFT


def _reply(task: Task, sample: Sample, known: Known) -> tuple[str | None, str]:
    for texts, source in ((known.recorded, RECORDED), (known.replies, REAL_REPLY)):
        if sample.id in texts:
            return texts[sample.id], source
    try:
        return task.render_gold(sample), GOLD_REPLY
    except InvalidInput:  # the row has no annotations
        return None, NO_REPLY


def sources(names: Sequence[str]) -> dict[str, int]:
    """How many came from where, the commonest first."""
    return dict(Counter(names).most_common())
