"""Who answers the student's clarifying questions at test time. The teacher's verdict never gets past this module."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

from askback.contracts.client import RetrieverClient, TeacherClient
from askback.contracts.errors import NotFound, UpstreamUnavailable
from askback.contracts.records import Draft, Exchange, Usage
from askback.contracts.retriever import MultihopRequest, SearchRequest
from askback.contracts.student import AskAnswers, AskRequest, Resolver
from askback.contracts.teacher import ChatRequest
from askback.tasks import task_named
from askback.tasks.dialogue import pair

UNANSWERED = "I do not know."
_NOTHING = {UNANSWERED, ""}  # a teacher's reply that is a verdict alone leaves an empty text


class Resolvers:
    """Answers questions through the teacher or the retriever."""

    def __init__(self, teacher: TeacherClient, retriever: RetrieverClient) -> None:
        self._teacher = teacher
        self._retriever = retriever

    async def resolve(self, request: AskRequest, draft: Draft) -> AskAnswers:
        """The draft's questions with the answers of the request's resolver; raises what the one who is asked raises.

        With `both`, one who has no answer (NotFound, UpstreamUnavailable) leaves it to the other; only when neither has one it is raised.
        """
        by: dict[Resolver, Callable[[AskRequest, Draft], Awaitable[AskAnswers]]] = {
            Resolver.TEACHER: self._teacher_answers,
            Resolver.GOLD: self._gold_answers,
            Resolver.RETRIEVER: self._passages,
            Resolver.BOTH: self._side_by_side,
            Resolver.NONE: self._nobody,
        }
        return await by[request.resolver](request, draft)

    async def _teacher_answers(self, request: AskRequest, draft: Draft) -> AskAnswers:
        return await self._chat(request.teacher, request, draft)

    async def _gold_answers(self, request: AskRequest, draft: Draft) -> AskAnswers:
        return await self._chat("gold", request, draft)

    async def _chat(self, backend: str, request: AskRequest, draft: Draft) -> AskAnswers:
        task = task_named(request.task)
        messages = task.prompt("teacher", request.question, passages=request.passages, draft=draft)
        metadata = {"question_id": request.question_id} if request.question_id else {}
        reply = await self._teacher.chat(ChatRequest(model=backend, messages=messages, metadata=metadata), request.run)
        answers = task.teacher_answers(reply.text)
        return AskAnswers(exchanges=pair(draft.questions, answers), answered_by=reply.backend, usage=reply.usage)

    async def _passages(self, request: AskRequest, draft: Draft) -> AskAnswers:
        started, index = time.perf_counter(), request.index or request.task
        if request.hops == 1:
            hits = (await self._retriever.search(SearchRequest(queries=draft.questions, k=1, index=index))).hits
        else:
            asked = [MultihopRequest(question=question, k=request.hops, index=index) for question in draft.questions]
            hits = [found.hits for found in await asyncio.gather(*map(self._retriever.multihop, asked))]
        answers = [" ".join(hit.passage.text for hit in best) or UNANSWERED for best in hits]
        usage = Usage(latency_s=round(time.perf_counter() - started, 4))
        return AskAnswers(exchanges=pair(draft.questions, answers), answered_by="retriever", usage=usage)

    async def _side_by_side(self, request: AskRequest, draft: Draft) -> AskAnswers:
        asked = (self._teacher_answers(request, draft), self._passages(request, draft))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        found = [outcome for outcome in outcomes if isinstance(outcome, AskAnswers)]
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for error in failed:
            if not isinstance(error, NotFound | UpstreamUnavailable):
                raise error
        if not found:
            raise _neither(failed)
        return _joined(draft.questions, found)

    async def _nobody(self, request: AskRequest, draft: Draft) -> AskAnswers:
        exchanges = pair(draft.questions, [UNANSWERED] * len(draft.questions))
        return AskAnswers(exchanges=exchanges, answered_by="none", usage=Usage())


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
