"""What lies on disk in a run's folder, one JSON object per line, and what services exchange about a question."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Base of all that lies on disk or travels: frozen; unknown fields are errors, and so are NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Message(Record):
    """One chat message in the OpenAI format."""

    role: str
    content: str


class Passage(Record):
    """A titled paragraph. `sentences` are concatenated as they are, so each carries its own leading space."""

    id: str
    title: str
    sentences: list[str]

    @property
    def text(self) -> str:
        return "".join(self.sentences)


class Sample(Record):
    """A benchmark question with its gold answer."""

    id: str
    task: str
    question: str
    answer: str
    """Gold answer; "yes" or "no" for yes/no questions."""
    facts: list[str] = Field(default_factory=list)
    """Gold facts that imply the answer; they stay when `passages` are replaced by retrieved ones."""
    decomposition: list[str] = Field(default_factory=list)
    """Gold sub-questions; `#1` refers to the answer of the first (StrategyQA)."""
    passages: list[Passage] = Field(default_factory=list)
    """Passages given with the question (HotpotQA's distractor context, or what the retriever found)."""
    supporting_facts: list[tuple[str, int]] = Field(default_factory=list)
    """Gold (title, sentence index) pairs (HotpotQA)."""
    kind: str = ""
    """Question type of the dataset, such as `bridge` or `comparison`."""


class Exchange(Record):
    """A clarifying question and the answer that it got."""

    question: str
    answer: str


class Draft(Record):
    """The student's first try: an answer and the questions it asks back."""

    answer: str
    p_yes: float | None = None
    """P(yes) / (P(yes) + P(no)) at the first answer token, for yes/no tasks."""
    questions: list[str]


class TeacherReply(Record):
    """A teacher's reply, parsed. `thought` is the reasoning without the verdict."""

    exchanges: list[Exchange]
    thought: str
    answer: str
    text: str


class Usage(Record):
    """What one call cost. `cost_usd` is 0 for local and recorded answers."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0


class Probe(Record):
    """One line of `samples/uncertainty.jsonl`: what the student said to a question that may be sampled, or `error`."""

    sample_id: str
    p_yes: float | None = None
    """P(yes) / (P(yes) + P(no)) at the first answer token, for yes/no tasks."""
    answers: list[str] = Field(default_factory=list)
    """Sampled answers, normalised, for open tasks."""
    uncertainty: float | None = None
    """From 0 (sure) to 1."""
    error: str | None = None
    model: str = ""
    prompt_version: str = ""


class HarvestStage(StrEnum):
    """The steps of a row through the harvest, in order. `hint` is a second try, made only where the first verdict differs from gold; `more-1`
    to `more-3` are further replies to the teacher's question, which only a harvest of several replies has."""

    DRAFT = "draft"
    TEACHER = "teacher"
    HINT = "hint"
    MORE_1 = "more-1"
    MORE_2 = "more-2"
    MORE_3 = "more-3"
    REWRITE = "rewrite"


FURTHER = (HarvestStage.MORE_1, HarvestStage.MORE_2, HarvestStage.MORE_3)
"""Further replies, in order: the first of them is the teacher's second reply."""
OPTIONAL = (HarvestStage.HINT, *FURTHER)
"""Steps that a row may go without, and whose failure costs no row."""


class HarvestRecord(Record):
    """One line of `harvest.jsonl`: one row at one stage. Exactly one of the outputs or `error` is set."""

    sample_id: str
    stage: HarvestStage
    draft: Draft | None = None
    reply: TeacherReply | None = None
    rewrite: str | None = None
    error: str | None = None
    model: str = ""
    backend: str = ""
    cache: str = ""
    request_hash: str = ""
    prompt_version: str = ""
    usage: Usage = Usage()
    """Tokens and dollars of an answer as when it was bought; `cache` says whether it was now."""


class Trace(Record):
    """A row that went through the whole harvest."""

    sample: Sample
    draft: Draft
    reply: TeacherReply
    rewrite: str
    backend: str
    hinted: bool = False
    """Whether `reply` is the second one, given with the gold answer at hand (STaR's rationalization)."""


class Example(Record):
    """A training row in TRL's conversational prompt/completion format."""

    prompt: list[Message]
    completion: list[Message]
    sample_id: str
    label: str
    """Gold answer of the row, for class balance; ignored by trainers."""


class PreferencePair(Record):
    """A training row in TRL's conversational preference format."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    sample_id: str
    label: str


class Prediction(Record):
    """A student's answer to one test question, with all that conditions it."""

    sample_id: str
    answer: str | None
    """Parsed answer; None when the text could not be parsed, which counts as wrong."""
    text: str = ""
    p_yes: float | None = Field(default=None, ge=0, le=1)
    supporting_facts: list[tuple[str, int]] = Field(default_factory=list)
    draft: Draft | None = None
    exchanges: list[Exchange] = Field(default_factory=list)
    usage: Usage = Usage()
    error: str | None = None


ASKING = ("assisted", "context", "tutored")
"""Modes in which questions are put and answered."""


class Condition(Record):
    """Under what a set of predictions was made; a number is never printed without it."""

    adapter: str
    """Adapter's role in the run (`base` for the untrained student)."""
    mode: str
    """`direct`, `closed_book` (`direct` without the question's passages), `cot`, `assisted` (a dialogue), `context` (assisted in one
    turn: the answers are read as facts) or `tutored` (`assisted` with the teacher's questions in place of the student's)."""
    resolver: str = "none"
    """Who answers the questions in the asking modes: `teacher`, `retriever`, `both`, `gold`, `teacher-nearest`, `gold-nearest` or `none`."""
    family: str = ""
    """What trainings that differ in their seed alone have in common; empty for an adapter that was trained once."""
    seed: int | None = None
    """Seed of the training, within a family."""

    @property
    def asks(self) -> bool:
        """Whether questions are put and answered, so that its resolver matters."""
        return self.mode in ASKING

    @property
    def told_gold(self) -> bool:
        """Whether the dataset's facts are the answers, which no user has."""
        return self.resolver in ("gold", "gold-nearest")

    @property
    def yardstick(self) -> bool:
        """Whether it only shows how far the student could come, since no user has what it reads: gold facts, or another's questions."""
        return self.told_gold or self.mode == "tutored"

    @property
    def pool(self) -> str:
        """The name with the family in place of the adapter: what conditions of several seeds share."""
        return self.model_copy(update={"adapter": self.family or self.adapter}).name

    @property
    def name(self) -> str:
        return f"{self.adapter}.{self.mode}" + (f".{self.resolver}" if self.asks else "")
