"""The student's own turns: a draft with clarifying questions, and answers in every mode."""

import asyncio
import math
import re
from functools import partial

from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Draft, Message, Usage
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
_REST = r"[^\n?]{6,110}\?"
_QUESTION = rf"({_OPENERS}) {_REST}"
_NUMBERED = re.compile(rf"^\d\. ({_QUESTION})\s*$", re.MULTILINE)
_QUESTION_TOKENS = 256  # two questions of 120 characters fit, were each character a token
_REASONING_TOKENS = 160  # the plan's budget of about 150 tokens a row


def questions_regex(most: int, other_than: str = "") -> str:
    """Pattern of one to `most` numbered questions; none of them begins as `other_than` does, with its first word and the letter behind."""
    question = _QUESTION
    opener, _, rest = other_than.partition(" ")
    if opener in _OPENERS.split("|") and rest[:1].isalnum():
        others = "|".join(word for word in _OPENERS.split("|") if word != opener)
        letters = re.escape(rest[0].lower() + rest[0].upper())
        question = rf"(({others}) {_REST}|{opener} [^{letters}\n?][^\n?]{{5,110}}\?)"
    return rf"1\. {question}" + (rf"(\n2\. {question})?" if most > 1 else "")


def new_questions(text: str, question: str) -> list[str]:
    """The questions in `text` without repetitions, and without `question` itself, which small models like to ask back."""
    found = dict.fromkeys(match[1] for match in _NUMBERED.finditer(text))
    return [one for one in found if _bare(one) != _bare(question)]


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


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
        drafting = AnswerRequest(**request.model_dump(exclude={"max_questions"}), mode=AnswerMode.DIRECT)
        drafted, (model, questions, used) = await asyncio.gather(self.answer(drafting), self._questions(request, messages))
        draft = Draft(answer=drafted.answer or drafted.text, p_yes=drafted.p_yes, questions=questions)
        return ClarifyResponse(draft=draft, model=model, usage=total(drafted.usage, used))

    async def _questions(self, request: ClarifyRequest, messages: list[Message]) -> tuple[str, list[str], Usage]:
        """(adapter's name, questions, usage). A student that only asks the question back is asked once more, and held to another beginning."""
        spent = []
        for other_than in ("", request.question):
            sampling = Sampling(max_tokens=_QUESTION_TOKENS, regex=questions_regex(request.max_questions, other_than))
            model, asked = await self._adapters.using(request.adapter, partial(self._generate, messages, sampling))
            spent.append(asked.usage)
            questions = new_questions(asked.text, request.question)[: request.max_questions]
            if questions:
                return model, questions, total(*spent)
        raise UpstreamRejected(f"the student wrote no question of its own within {_QUESTION_TOKENS} tokens: {asked.text[:80]!r}")

    async def _generate(self, messages: list[Message], sampling: Sampling, model: str) -> Generation:
        return await self._engine.generate(model, messages, sampling)

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        """One answer in the request's mode. Yes/no tasks are scored by the first token, except in mode `cot`."""
        task = task_named(request.task)
        role = task.cot_role(request.cot) if request.mode is AnswerMode.COT else request.mode.value
        messages = task.prompt(role, request.question, passages=request.passages, thought=request.thought, exchanges=request.exchanges)
        model, generation = await self._adapters.using(request.adapter, partial(self._generate, messages, _sampling(task, request)))
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
