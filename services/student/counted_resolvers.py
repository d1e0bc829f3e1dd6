"""Counts what the student asks back."""

from collections.abc import Callable

from askback.contracts.client import RetrieverClient, TeacherClient
from askback.contracts.records import Draft
from askback.contracts.student import AskAnswers, Asker, AskRequest
from services.student.resolvers import Resolvers


class CountedResolvers(Resolvers):
    """Resolvers that tell how many questions each ask had answered."""

    def __init__(self, teacher: TeacherClient, retriever: RetrieverClient, asked: Callable[[int], None]) -> None:
        super().__init__(teacher, retriever)
        self._asked = asked

    async def resolve(self, request: AskRequest, draft: Draft) -> AskAnswers:
        """See Resolvers."""
        answers = await super().resolve(request, draft)
        if request.asker is Asker.STUDENT:
            self._asked(len(answers.exchanges))
        return answers
