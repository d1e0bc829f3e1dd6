"""A chat completion request: read from the wire, checked, and brought to the form that the rest works with.

Checked by hand and not by a schema, because every field that a backend may know has to pass, and because this is the path of
every cached answer.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from askback.contracts.errors import InvalidInput
from services.teacher.request.cache_control import ALLOW_ALL, CacheControl
from services.teacher.request.canonical import meaning_of

MAX_RUN_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `body` is as the caller sent it; `meaning` is its canonical JSON."""

    body: dict[str, Any]
    model: str
    meaning: bytes
    question_id: str
    sample_index: int
    stream: bool
    include_usage: bool
    """Whether a stream ends with a chunk that holds the usage."""
    cache: CacheControl = ALLOW_ALL
    run: str = ""
    """The run that pays, from the header x-askback-run; empty for none."""
    deadline_s: float | None = None
    """Seconds that this caller waits, from the header x-askback-deadline-s."""


def read_request(raw: bytes, cache: CacheControl = ALLOW_ALL, run: str = "", deadline_s: float | None = None) -> Asked:
    """The request in `raw`; raises InvalidInput naming the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidInput("the body must be an object such as {'model': 'teacher', 'messages': [...]}")
    model = body.get("model", "teacher")
    if not isinstance(model, str):
        raise InvalidInput("model: must be a text, the name of a backend")
    _check_messages(body.get("messages"))
    stream, options = body.get("stream") or False, body.get("stream_options") or {}
    if not isinstance(stream, bool):
        raise InvalidInput("stream: must be true or false")
    if not isinstance(options, dict):
        raise InvalidInput("stream_options: must be an object")
    question_id, sample_index = _read_metadata(body.get("metadata") or {})
    return Asked(
        body=body,
        model=model,
        meaning=meaning_of(body, sample_index),
        question_id=question_id,
        sample_index=sample_index,
        stream=stream,
        include_usage=bool(options.get("include_usage")),
        cache=cache,
        run=run,
        deadline_s=deadline_s,
    )


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise InvalidInput("messages: must be a list of at least one message")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidInput(f"messages.{number}: must be an object with role and content")
        if not isinstance(message.get("role"), str):
            raise InvalidInput(f"messages.{number}.role: must be a text such as 'user'")
        content = message.get("content")
        if type(content) is str:
            continue
        if content is None and message["role"] != "assistant":  # an assistant's message may hold tool calls alone
            raise InvalidInput(f"messages.{number}.content: is missing")
        if content is not None and not (isinstance(content, list) and all(isinstance(part, dict) for part in content)):
            raise InvalidInput(f"messages.{number}.content: must be a text or a list of parts")


def _read_metadata(metadata: Any) -> tuple[str, int]:
    """(question_id, sample_index): which question, and which of several answers to it is wanted."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidInput("metadata: must be an object whose values are texts")
    index = metadata.get("sample_index", "0")
    if not (index.isascii() and index.isdigit() and len(index) <= 9):
        raise InvalidInput(f"metadata.sample_index is {index[:40]!r}; it must be a whole number from 0")
    return metadata.get("question_id", ""), int(index)


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, of all its text parts where it has parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content or ""


def asked_question(body: dict[str, Any]) -> str:
    """The first `Q: <question>` line of the last user message; empty without one.

    The first, because a student's draft stands below the question and may hold such lines of its own.
    """
    texts = [text_of(message) for message in body["messages"] if message["role"] == "user"]
    lines = texts[-1].split("\n") if texts else []
    return next((line.removeprefix("Q: ").strip() for line in lines if line.startswith("Q: ")), "")
