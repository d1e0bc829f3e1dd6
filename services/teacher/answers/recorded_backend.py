"""Backends of kind `replay` and `gold`: answers that were recorded before."""

from askback.contracts.errors import NotFound
from services.teacher.answers.completion import Completion, text_completion
from services.teacher.answers.provenance import request_hash
from services.teacher.answers.recordings import Recordings
from services.teacher.request.asked import Asked, asked_question


class RecordedBackend:
    """Looks answers up by the exact request, else by `metadata.question_id`, else by the question in the last user message. Free of charge."""

    missing = ""

    def __init__(self, name: str, recordings: Recordings) -> None:
        self.name = name
        self._recordings = recordings

    def find(self, asked: Asked) -> Completion:
        """The recorded answer; raises NotFound naming what was looked for."""
        question, exact = asked_question(asked.body), request_hash(asked)
        found = self._look_up(exact, asked, question)
        if found is not None:
            return text_completion(*found, identifier=exact)
        sought = [f"question_id {asked.question_id!r}"] * bool(asked.question_id) + [f"question {question[:120]!r}"] * bool(question)
        if not sought:
            raise NotFound(f"backend {self.name!r}: the request names no question; set metadata.question_id or write a line `Q: <question>`")
        raise NotFound(f"backend {self.name!r}: no recording for {' or '.join(sought)} with sample_index {asked.sample_index}")

    def has(self, asked: Asked) -> bool:
        """Whether `find` has an answer."""
        return self._look_up(request_hash(asked), asked, asked_question(asked.body)) is not None

    def _look_up(self, exact: str, asked: Asked, question: str) -> tuple[str, str] | None:
        return self._recordings.find(self.name, exact, asked.question_id, question, asked.sample_index)
