"""One line of a batch's results, checked: https://platform.openai.com/docs/api-reference/batch/request-output."""

from dataclasses import dataclass
from typing import Any

import orjson

from services.teacher.answers.completion import Used, complaint, unusable, used_by
from services.teacher.batch.orders import number_of


@dataclass(frozen=True, slots=True)
class ResultLine:
    """What became of one request."""

    number: int
    """Its place in the batch, from 0."""
    body: bytes | None
    """The answer as JSON, which is paid for; None for a request that failed, at no cost."""
    model: str = ""
    used: Used | None = None
    """None where the upstream does not say."""
    kind: str = ""
    """Of the problem."""
    problem: str = ""
    """Why there is no usable answer; empty where there is one."""


def read_line(line: bytes) -> ResultLine | None:
    """The result in `line`; None when it does not even tell of which request."""
    try:
        result = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    number = number_of(result.get("custom_id")) if isinstance(result, dict) else None
    if number is None:
        return None
    response = result.get("response")
    if not isinstance(response, dict) or response.get("status_code") != 200:
        kind, text = _failure(response, result.get("error"))
        return ResultLine(number, None, kind=kind, problem=text)
    return _answer(number, response.get("body"))


def _answer(number: int, completion: Any) -> ResultLine:
    body = orjson.dumps(completion)
    wrong = complaint(completion)
    if wrong:
        return ResultLine(number, body, kind="unusable", problem=f"the answer is no chat completion ({wrong})")
    problem = unusable(completion)
    return ResultLine(number, body, completion.get("model", ""), used_by(completion), "unusable" if problem else "", problem)


def _failure(response: Any, error: Any) -> tuple[str, str]:
    """(kind, text) of a request that failed: the row's own error, else the one in the body of the answer."""
    if not isinstance(error, dict):
        body = response.get("body") if isinstance(response, dict) else None
        error = body.get("error") if isinstance(body, dict) else None
    status = f"status {response.get('status_code')}" if isinstance(response, dict) else "no response"
    if not isinstance(error, dict):
        return status, "the upstream gave no reason"
    kind = error.get("code") or error.get("type") or status
    return str(kind), " ".join(str(error.get("message") or "the upstream gave no reason").split())
