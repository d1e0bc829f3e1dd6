"""Schemas of the student service."""

from enum import StrEnum

from pydantic import Field

from askback.contracts.records import Draft, Exchange, Passage, Record, Usage

BASE = "base"
"""Name of the untrained student wherever an adapter is named."""
PREVIOUS = "previous"
"""Name of the student that an earlier run promoted, wherever a run's adapter is named."""
STUDENT = "student"
"""Name of the promoted adapter wherever a model is named."""


class AnswerMode(StrEnum):
    """How one answer is prompted. Every mode is also a training track's prompt."""

    DIRECT = "direct"
    COT = "cot"
    CONTEXT = "context"
    REWRITE = "rewrite"


class Resolver(StrEnum):
    """Who answers the student's clarifying questions."""

    TEACHER = "teacher"
    RETRIEVER = "retriever"
    BOTH = "both"
    """Teacher and retriever side by side: each answer is the teacher's words and the passage."""
    GOLD = "gold"
    TEACHER_NEAREST = "teacher-nearest"
    """Each question gets the teacher's answer to the sub-question nearest to it, and no other answer."""
    GOLD_NEAREST = "gold-nearest"
    """As `teacher-nearest`, of the dataset's facts."""
    NONE = "none"


class Asker(StrEnum):
    """Whose questions are put to the resolver."""

    STUDENT = "student"
    TEACHER = "teacher"
    """Those of the teacher's reply to this question: a yardstick for the student's own."""


class QuestionRequest(Record):
    """What every question to the student carries."""

    task: str = "strategyqa"
    question: str = Field(min_length=1, max_length=4000)
    question_id: str = ""
    """Dataset id, which lets recorded teachers find their answer."""
    passages: list[Passage] = Field(default_factory=list, max_length=50)
    adapter: str = ""
    """Name of a loaded adapter; empty for the promoted one, `base` for the untrained student."""


class ClarifyRequest(QuestionRequest):
    max_questions: int = Field(default=2, ge=1, le=2)


class ClarifyResponse(Record):
    draft: Draft
    model: str
    usage: Usage


class CotForm(StrEnum):
    """How a rationale and its answer are learnt, and so how they are asked for."""

    RATIONALE_FIRST = "rationale-first"
    ANSWER_FIRST = "answer-first"
    MULTITASK = "multitask"


class AnswerRequest(QuestionRequest):
    mode: AnswerMode = AnswerMode.DIRECT
    cot: CotForm = CotForm.RATIONALE_FIRST
    """Form of mode `cot`: that of the track which the adapter was trained on."""
    thought: str = ""
    """Reasoning to read before answering (mode `context`)."""
    exchanges: list[Exchange] = Field(default_factory=list)
    """Clarifying questions with their answers (mode `rewrite`)."""
    temperature: float = Field(default=0, ge=0, le=2)
    """0 writes the likeliest answer. `p_yes` does not depend on it."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Repeats a sampled answer where the engine can; None draws a new one each time."""


class AnswerResponse(Record):
    answer: str | None
    """Parsed answer; None when the text could not be parsed."""
    text: str
    p_yes: float | None = None
    supporting_facts: list[tuple[str, int]] = Field(default_factory=list)
    model: str
    usage: Usage


class AskRequest(QuestionRequest):
    resolver: Resolver = Resolver.TEACHER
    asker: Asker = Asker.STUDENT
    max_questions: int = Field(default=2, ge=1, le=2)
    one_turn: bool = False
    """Read the answers as one block of facts (track `context`) instead of as a dialogue (track `dialogue`)."""
    teacher: str = Field(default="teacher", max_length=64)
    """Backend of the teacher service that answers; `teacher` is the active one."""
    run: str = Field(default="", max_length=128)
    """The run that pays for the teacher's answers."""
    hops: int = Field(default=1, ge=1, le=2)
    """With 2 the retriever answers each question with two pages, the second found through the first."""
    index: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]{0,63})?$")
    """The retriever's index; empty takes the one named like the task."""
    stream: bool = False
    """Answer with server-sent events, one for each step: `draft` (ClarifyResponse), `answers` (AskAnswers), `final`
    (AnswerResponse) and `done` (AskResponse), or `error` (AskError), after which nothing comes."""


class AskAnswers(Record):
    """What the student's questions got."""

    exchanges: list[Exchange]
    answered_by: str
    """The teacher's backend, `retriever`, both joined by `+`, or `none`."""
    usage: Usage


class AskError(Record):
    """Why a stream ends early: the body that the same error has as an answer of its own."""

    error: str
    """Name of the class in `contracts.errors`."""
    detail: str


class AskResponse(Record):
    """The whole exchange: draft and questions, their answers, the answer after reading them."""

    draft: Draft
    exchanges: list[Exchange]
    answered_by: str
    final: AnswerResponse
    usage: Usage


class Adapter(Record):
    """A LoRA adapter that the engine serves under `name`."""

    name: str
    path: str
    """Folder relative to the adapters root."""


class AdaptersResponse(Record):
    base_model: str
    default: str
    adapters: list[Adapter]
    max_rank: int = 0
    """Largest rank of an adapter that the engine serves; 0 where the service does not say."""


class DefaultAdapterRequest(Record):
    name: str
    """Name of a loaded adapter, or `base`."""


class EnginePhase(StrEnum):
    """Whose turn the card is, as the student sees it."""

    WAITING = "waiting"
    """Another process has the card; the engine is to sleep, and may not have been seen asleep yet."""
    WAKING = "waking"
    AWAKE = "awake"
    DRAINING = "draining"
    """Requests under way finish before the engine goes to sleep."""
    ASLEEP = "asleep"
    """The engine said itself that it sleeps, and the student has given the card back."""


class SleepRequest(Record):
    holder: str = Field(min_length=1, max_length=200)
    """Who asks for the card, in words for people, such as `job 3f2a`."""


class WakeRequest(Record):
    adapter: Adapter | None = None
    """What to serve as soon as the engine is awake."""


class EngineStatus(Record):
    shared: bool
    """Whether the card is shared with the trainer (GPU_LOCK is set)."""
    phase: EnginePhase
    holder: str = ""
    """Who asked for the card last, while the engine sleeps for it."""
    detail: str = ""
    """What went wrong last, in one line; empty when nothing did."""
