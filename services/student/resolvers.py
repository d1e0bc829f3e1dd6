"""Who answers the student's clarifying questions at test time. The teacher's verdict never gets past this module."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from askback.contracts.client import RetrieverClient, TeacherClient
from askback.contracts.errors import NotFound, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Draft, Exchange, Usage
from askback.contracts.retriever import MultihopRequest, SearchRequest
from askback.contracts.student import AskAnswers, Asker, AskRequest, Resolver
from askback.contracts.teacher import ChatReply, ChatRequest
from askback.tasks import task_named
from askback.tasks.dialogue import pair
from askback.tasks.nearest import nearest, steps_to
from services.student.answering import total

UNANSWERED = "I do not know."
_GOLD = "gold"
_NOTHING = {UNANSWERED, ""}  # a teacher's reply that is a verdict alone leaves an empty text


@dataclass(frozen=True)
class Put:
    """What is put to a resolver."""

    request: AskRequest
    draft: Draft
    """The student's, which the teacher reads."""
    questions: list[str]
    reply: ChatReply | None = None
    """The teacher's, where it was asked for its questions already; without usage, since that is counted there."""


class Resolvers:
    """Answers questions through the teacher or the retriever."""

    def __init__(self, teacher: TeacherClient, retriever: RetrieverClient) -> None:
        self._teacher = teacher
        self._retriever = retriever

    async def resolve(self, request: AskRequest, draft: Draft) -> AskAnswers:
        """The questions of the draft, or the teacher's, with the answers of the request's resolver; raises what the one who is asked raises.

        With `both`, one who has no answer (NotFound, UpstreamUnavailable) leaves it to the other; only when neither has one it is raised.
        With asker `teacher`, a reply without sub-questions raises UpstreamRejected.
        """
        by: dict[Resolver, Callable[[Put], Awaitable[AskAnswers]]] = {
            Resolver.TEACHER: self._teacher_answers,
            Resolver.GOLD: self._gold_answers,
            Resolver.TEACHER_NEAREST: self._nearest_of_teacher,
            Resolver.GOLD_NEAREST: self._nearest_of_gold,
            Resolver.RETRIEVER: self._passages,
            Resolver.BOTH: self._side_by_side,
            Resolver.NONE: self._nobody,
        }
        put = Put(request, draft, draft.questions)
        if request.asker is Asker.STUDENT:
            return await by[request.resolver](put)
        reply = await self._reply(request.teacher, put)
        answers = await by[request.resolver](replace(put, questions=_of_teacher(put, reply), reply=reply.model_copy(update={"usage": Usage()})))
        return answers.model_copy(update={"usage": total(reply.usage, answers.usage)})

    async def _teacher_answers(self, put: Put) -> AskAnswers:
        return await self._all(put.request.teacher, put)

    async def _gold_answers(self, put: Put) -> AskAnswers:
        return await self._all(_GOLD, put)

    async def _nearest_of_teacher(self, put: Put) -> AskAnswers:
        return await self._nearest(put.request.teacher, put)

    async def _nearest_of_gold(self, put: Put) -> AskAnswers:
        return await self._nearest(_GOLD, put)

    async def _all(self, backend: str, put: Put) -> AskAnswers:
        reply = await self._reply(backend, put)
        answers = task_named(put.request.task).teacher_answers(reply.text)
        return AskAnswers(exchanges=pair(put.questions, answers), answered_by=reply.backend, usage=reply.usage)

    async def _nearest(self, backend: str, put: Put) -> AskAnswers:
        reply = await self._reply(backend, put)
        found = nearest(put.questions, _steps(put.request, reply))
        exchanges = pair(put.questions, [answer or UNANSWERED for answer in found])
        return AskAnswers(exchanges=exchanges, answered_by=reply.backend if any(found) else "none", usage=reply.usage)

    async def _reply(self, backend: str, put: Put) -> ChatReply:
        request = put.request
        if put.reply and backend == request.teacher:
            return put.reply
        messages = task_named(request.task).prompt("teacher", request.question, passages=request.passages, draft=put.draft)
        metadata = {"question_id": request.question_id} if request.question_id else {}
        return await self._teacher.chat(ChatRequest(model=backend, messages=messages, metadata=metadata), request.run)

    async def _passages(self, put: Put) -> AskAnswers:
        request = put.request
        started, index = time.perf_counter(), request.index or request.task
        if request.hops == 1:
            hits = (await self._retriever.search(SearchRequest(queries=put.questions, k=1, index=index))).hits
        else:
            asked = [MultihopRequest(question=question, k=request.hops, index=index) for question in put.questions]
            hits = [found.hits for found in await asyncio.gather(*map(self._retriever.multihop, asked))]
        answers = [" ".join(hit.passage.text for hit in best) or UNANSWERED for best in hits]
        usage = Usage(latency_s=round(time.perf_counter() - started, 4))
        return AskAnswers(exchanges=pair(put.questions, answers), answered_by="retriever", usage=usage)

    async def _side_by_side(self, put: Put) -> AskAnswers:
        asked = (self._teacher_answers(put), self._passages(put))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        found = [outcome for outcome in outcomes if isinstance(outcome, AskAnswers)]
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for error in failed:
            if not isinstance(error, NotFound | UpstreamUnavailable):
                raise error
        if not found:
            raise _neither(failed)
        return _joined(put.questions, found)

    async def _nobody(self, put: Put) -> AskAnswers:
        exchanges = pair(put.questions, [UNANSWERED] * len(put.questions))
        return AskAnswers(exchanges=exchanges, answered_by="none", usage=Usage())


def _of_teacher(put: Put, reply: ChatReply) -> list[str]:
    questions = [step.question for step in _steps(put.request, reply)][: put.request.max_questions]
    if not questions:
        raise UpstreamRejected(f"the reply of {reply.backend!r} has no sub-question to put in the place of the student's; take asker `student`")
    return questions


def _steps(request: AskRequest, reply: ChatReply) -> list[Exchange]:
    return steps_to(request.question, task_named(request.task).teacher_exchanges(reply.text))


def _joined(questions: Sequence[str], found: Sequence[AskAnswers]) -> AskAnswers:
    """One answer for each question, in the order of `found`. Who knew nothing of any question is not named."""
    known = [[one.answer for one in part.exchanges] for part in found]
    useful = [part.answered_by for part, answers in zip(found, known, strict=True) if not _NOTHING.issuperset(answers)]
    exchanges = []
    for question, *answers in zip_longest(questions, *known, fillvalue=UNANSWERED):
        said = [answer for answer in answers if answer not in _NOTHING]
        exchanges.append(Exchange(question=question, answer=" ".join(said) or UNANSWERED))
    usage = Usage(
        prompt_tokens=sum(part.usage.prompt_tokens for part in found),
        completion_tokens=sum(part.usage.completion_tokens for part in found),
        cost_usd=sum(part.usage.cost_usd for part in found),
        latency_s=max(part.usage.latency_s for part in found),  # they were asked at the same time
    )
    return AskAnswers(exchanges=exchanges, answered_by="+".join(useful) or "none", usage=usage)


def _neither(failed: Sequence[BaseException]) -> NotFound | UpstreamUnavailable:
    """Both texts, as the class that says whether the same call may succeed later."""
    text = "; ".join(str(error) for error in failed)
    later = [error for error in failed if isinstance(error, UpstreamUnavailable)]
    if not later:
        return NotFound(text)
    raised = type(later[0])(text)
    raised.retry_after_s = later[0].retry_after_s
    return raised
