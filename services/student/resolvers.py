"""Who answers the student's clarifying questions at test time. The teacher's verdict never gets past this module."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from askback.contracts.client import RetrieverClient, TeacherClient
from askback.contracts.records import Draft, Exchange, Usage
from askback.contracts.retriever import SearchRequest
from askback.contracts.student import AskRequest, Resolver
from askback.contracts.teacher import ChatRequest
from askback.tasks import task_named
from askback.tasks.dialogue import pair

UNANSWERED = "I do not know."


@dataclass(frozen=True)
class Resolution:
    exchanges: list[Exchange]
    answered_by: str
    usage: Usage


class Resolvers:
    """Answers questions through the teacher or the retriever."""

    def __init__(self, teacher: TeacherClient, retriever: RetrieverClient) -> None:
        self._teacher = teacher
        self._retriever = retriever

    async def resolve(self, request: AskRequest, draft: Draft) -> Resolution:
        """The draft's questions with the answers of the request's resolver."""
        by: dict[Resolver, Callable[[AskRequest, Draft], Awaitable[Resolution]]] = {
            Resolver.TEACHER: self._teacher_answers,
            Resolver.GOLD: self._gold_answers,
            Resolver.RETRIEVER: self._passages,
            Resolver.NONE: self._nobody,
        }
        return await by[request.resolver](request, draft)

    async def _teacher_answers(self, request: AskRequest, draft: Draft) -> Resolution:
        return await self._chat("teacher", request, draft)

    async def _gold_answers(self, request: AskRequest, draft: Draft) -> Resolution:
        return await self._chat("gold", request, draft)

    async def _chat(self, backend: str, request: AskRequest, draft: Draft) -> Resolution:
        task = task_named(request.task)
        messages = task.prompt("teacher", request.question, passages=request.passages, draft=draft)
        metadata = {"question_id": request.question_id} if request.question_id else {}
        reply = await self._teacher.chat(ChatRequest(model=backend, messages=messages, metadata=metadata), request.run)
        answers = task.teacher_answers(reply.text)
        return Resolution(pair(draft.questions, answers), reply.backend, reply.usage)

    async def _passages(self, request: AskRequest, draft: Draft) -> Resolution:
        found = await self._retriever.search(SearchRequest(queries=draft.questions, k=1, index=request.task))
        answers = [best[0].passage.text if best else UNANSWERED for best in found.hits]
        return Resolution(pair(draft.questions, answers), "retriever", Usage())

    async def _nobody(self, request: AskRequest, draft: Draft) -> Resolution:
        return Resolution(pair(draft.questions, [UNANSWERED] * len(draft.questions)), "none", Usage())
