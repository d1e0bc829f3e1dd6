"""The student's own turns: a draft with clarifying questions, and answers in every mode."""

import asyncio
import math
import re

from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Draft, Usage
from askback.contracts.student import AnswerMode, AnswerRequest, AnswerResponse, ClarifyRequest, ClarifyResponse, CotForm, QuestionRequest
from askback.tasks import Task, task_named
from services.student.adapters import Adapters
from services.student.engine import Engine, Generation, Sampling

# A question opens with a question word and ends at its first question mark, so that what the student writes can always be
# parsed, also before training, when small models write statements instead of questions.
_OPENERS = (
    "What|Which|Who|Whose|Whom|When|Where|Why|How|Is|Are|Was|Were|Do|Does|Did|Can|Could|Has|Have|Had|Would|Will|Should|In|At|On"
    "|During|For|Under|By|To|From|Of|If"
)
_QUESTION = rf"({_OPENERS}) [^\n?]{{6,110}}\?"
_NUMBERED = re.compile(rf"^\d\. ({_QUESTION})\s*$", re.MULTILINE)
_QUESTION_TOKENS = 96  # two questions of 120 characters fit
_REASONING_TOKENS = 160  # the plan's budget of about 150 tokens a row


def questions_regex(most: int) -> str:
    """Pattern of one to `most` numbered questions."""
    return rf"1\. {_QUESTION}" + (rf"(\n2\. {_QUESTION})?" if most > 1 else "")


def p_yes(first_token: dict[str, float]) -> float | None:
    """P(yes) / (P(yes) + P(no)) from first-token log-probabilities; None when neither token is among them."""
    yes, no = (math.exp(first_token[token]) if token in first_token else 0.0 for token in ("yes", "no"))
    return yes / (yes + no) if yes + no > 0 else None


def total(*parts: Usage) -> Usage:
    """Tokens, dollars and seconds of several calls made one after the other."""
    return Usage(
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost_usd=sum(part.cost_usd for part in parts),
        latency_s=round(sum(part.latency_s for part in parts), 4),
    )


class Answering:
    """Prompts the engine and parses what it writes. All prompts come from the task, as in training."""

    def __init__(self, engine: Engine, adapters: Adapters) -> None:
        self._engine = engine
        self._adapters = adapters

    async def clarify(self, request: ClarifyRequest) -> ClarifyResponse:
        """A draft answer and one or two clarifying questions, from one prompt each."""
        task = task_named(request.task)
        messages = task.prompt("clarify", request.question, passages=request.passages, max_questions=request.max_questions)
        sampling = Sampling(max_tokens=_QUESTION_TOKENS, regex=questions_regex(request.max_questions))
        drafting = AnswerRequest(**request.model_dump(exclude={"max_questions"}), mode=AnswerMode.DIRECT)
        drafted, (model, asked) = await asyncio.gather(
            self.answer(drafting), self._adapters.using(request.adapter, lambda model: self._engine.generate(model, messages, sampling))
        )
        questions = list(dict.fromkeys(match[1] for match in _NUMBERED.finditer(asked.text)))  # small models repeat themselves
        if not questions:
            raise UpstreamRejected(f"the student wrote no question within {_QUESTION_TOKENS} tokens: {asked.text[:80]!r}")
        draft = Draft(answer=drafted.answer or drafted.text, p_yes=drafted.p_yes, questions=questions[: request.max_questions])
        return ClarifyResponse(draft=draft, model=model, usage=total(drafted.usage, asked.usage))

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        """One answer in the request's mode. Yes/no tasks are scored by the first token, except in mode `cot`."""
        task = task_named(request.task)
        role = task.cot_role(request.cot) if request.mode is AnswerMode.COT else request.mode.value
        messages = task.prompt(role, request.question, passages=request.passages, thought=request.thought, exchanges=request.exchanges)
        model, generation = await self._adapters.using(
            request.adapter, lambda model: self._engine.generate(model, messages, _sampling(task, request))
        )
        return _read(task, request, model, generation)


def _sampling(task: Task, request: AnswerRequest) -> Sampling:
    if request.mode is AnswerMode.COT and request.cot is not CotForm.MULTITASK:  # where the rationale is a task of its own, the answer stands alone
        return Sampling(max_tokens=_REASONING_TOKENS + task.answer_tokens, temperature=request.temperature, seed=request.seed)
    return Sampling(max_tokens=task.answer_tokens, choices=task.choices, temperature=request.temperature, seed=request.seed)


def _read(task: Task, request: QuestionRequest, model: str, generation: Generation) -> AnswerResponse:
    probability = p_yes(generation.first_token) if task.choices == ("yes", "no") else None
    answer = task.parse_answer(generation.text) if probability is None else ("yes" if probability > 0.5 else "no")
    return AnswerResponse(
        answer=answer,
        text=generation.text,
        p_yes=probability,
        supporting_facts=task.supporting_facts(generation.text),
        model=model,
        usage=generation.usage,
    )
