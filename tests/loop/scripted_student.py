"""A student that answers from a rule and remembers what it was asked; its other routes are those of the real service."""

from collections.abc import Callable

from askback.contracts.client import StudentClient
from askback.contracts.records import Usage
from askback.contracts.student import AnswerRequest, AnswerResponse

Rule = Callable[[AnswerRequest], tuple[str | None, float | None]]
"""(answer, p_yes) of a request."""


class ScriptedStudent(StudentClient):
    def __init__(self, student: StudentClient, rule: Rule) -> None:
        super().__init__(student._http)
        self.rule = rule
        self.asked: list[AnswerRequest] = []

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        self.asked.append(request)
        answer, p_yes = self.rule(request)
        return AnswerResponse(answer=answer, text=answer or "Who knows?", p_yes=p_yes, model="student-base", usage=Usage(prompt_tokens=10))
