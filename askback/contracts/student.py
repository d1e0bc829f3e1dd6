"""Schemas of the student service."""

from enum import StrEnum

from pydantic import Field

from askback.contracts.records import Draft, Exchange, Passage, Record, Usage

BASE = "base"
"""Name of the untrained student wherever an adapter is named."""


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
    GOLD = "gold"
    NONE = "none"


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
    max_questions: int = Field(default=2, ge=1, le=2)
    one_turn: bool = False
    """Read the answers as one block of facts (track `context`) instead of as a dialogue (track `dialogue`)."""
    run: str = Field(default="", max_length=128)
    """The run that pays for the teacher's answers."""


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


class DefaultAdapterRequest(Record):
    name: str
    """Name of a loaded adapter, or `base`."""
