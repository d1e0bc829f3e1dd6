"""Backends of kind `replay` and `gold`: answers that were recorded before."""

from askback.contracts.errors import NotFound
from askback.contracts.teacher import ChatRequest
from services.teacher.backend import Completion
from services.teacher.canonical import sample_index
from services.teacher.recordings import Recordings


class RecordedBackend:
    """Looks answers up by `metadata.question_id`, else by the question in the last user message. Free of charge."""

    def __init__(self, name: str, recordings: Recordings) -> None:
        self._name = name
        self._recordings = recordings

    async def complete(self, request: ChatRequest) -> Completion:
        """The recorded answer; raises NotFound naming what was looked for."""
        question_id, question, index = request.metadata.get("question_id", ""), asked_question(request), sample_index(request)
        found = self._recordings.find(self._name, question_id, question, index)
        if found is not None:
            return found
        sought = [f"question_id {question_id!r}"] * bool(question_id) + [f"question {question[:120]!r}"] * bool(question)
        if not sought:
            raise NotFound(f"backend {self._name!r}: the request names no question; set metadata.question_id or write a line `Q: <question>`")
        raise NotFound(f"backend {self._name!r}: no recording for {' or '.join(sought)} with sample_index {index}")


def asked_question(request: ChatRequest) -> str:
    """The first `Q: <question>` line of the last user message; empty without one.

    The first, because a student's draft stands below the question and may hold such lines of its own.
    """
    texts = [message.content for message in request.messages if message.role == "user"]
    lines = texts[-1].split("\n") if texts else []
    return next((line.removeprefix("Q: ").strip() for line in lines if line.startswith("Q: ")), "")
