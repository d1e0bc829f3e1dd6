"""Errors on the wire: `{"error": NAME, "detail": TEXT}`, and OpenAI's own shape on the routes that its clients call."""

import json
import math
import re

from askback.contracts.errors import ERRORS, ServiceError

OPENAI_PATHS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/models"})
Answered = tuple[int, dict[str, str], bytes]
"""(status, headers, body) of an answer."""


def error_answer(error: ServiceError, path: str) -> Answered:
    """`error` as the clients of `path` read it."""
    return openai_error(error) if path in OPENAI_PATHS else _framed(error, {"error": _name(error), "detail": str(error)})


def openai_error(error: ServiceError) -> Answered:
    """`error` in OpenAI's shape. `x-should-retry: false` keeps its clients from paying again for what will fail again."""
    kind = _name(error)
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    return _framed(error, {"error": {"type": kind, "message": str(error), "code": code, "param": None}})


def _name(error: ServiceError) -> str:
    """The class in the shared tree that `error` belongs to: a service may have finer ones of its own."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS)


def _framed(error: ServiceError, content: object) -> Answered:
    headers = {"content-type": "application/json"}
    if error.status in (429, 503):
        headers["retry-after"] = str(math.ceil(error.retry_after_s or 1))
    else:
        headers["x-should-retry"] = "false"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = json.dumps(content).encode()
    return error.status, headers | {"content-length": str(len(body))}, body
