"""A teacher that answers from a rule and remembers what it was asked; its routes beside the chat are those of the real service."""

from collections.abc import Callable

from askback.contracts.client import TeacherClient
from askback.contracts.records import Usage
from askback.contracts.teacher import ChatReply, ChatRequest

Rule = Callable[[ChatRequest], str]


def replying(verdict: str, thought: str = "It is a fact.") -> str:
    return f"Q1. What is it?\n{thought}\nThe answer is {verdict}."


class ScriptedTeacher(TeacherClient):
    """Each answer costs a cent; an equal request gets its first answer again unless it is asked for a fresh one, as from a cache."""

    def __init__(self, teacher: TeacherClient, rule: Rule) -> None:
        super().__init__(teacher._http)
        self.rule = rule
        self.asked: list[ChatRequest] = []
        self.fresh: list[str] = []
        self._cached: dict[str, str] = {}

    async def chat(self, request: ChatRequest, run: str = "", *, fresh: bool = False) -> ChatReply:
        self.asked.append(request)
        key = request.model_dump_json()
        if fresh:
            self.fresh.append(request.metadata["question_id"])
        text = self.rule(request) if fresh or key not in self._cached else self._cached[key]
        self._cached[key] = text
        usage = Usage(prompt_tokens=30, cost_usd=0.01)
        return ChatReply(text=text, model="gpt-x", backend="scripted", cache="miss", request_hash="h", usage=usage, answer_usd=usage.cost_usd)


def second(request: ChatRequest) -> bool:
    """Whether it is a second try."""
    return request.metadata.get("sample_index") == "1"
