"""One line of a batch's results, checked: https://platform.openai.com/docs/api-reference/batch/request-output."""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.teacher.batch_orders import number_of
from services.teacher.completion import unusable
from services.teacher.upstream import Reply


@dataclass(frozen=True, slots=True)
class ResultLine:
    """What became of one request."""

    number: int
    """Its place in the batch, from 0."""
    body: bytes | None
    """The answer as JSON, which is paid for; None for a request that failed, at no cost."""
    model: str = ""
    usage: tuple[int, int, int] | None = None
    """(prompt tokens, those of them that the upstream had cached, completion tokens); None where the upstream does not say."""
    kind: str = ""
    """Of the problem."""
    problem: str = ""
    """Why there is no usable answer; empty where there is one."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Message(_Part):
    content: str | None = None


class _Choice(_Part):
    message: _Message


class _Usage(_Part):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Completion(_Part):
    """The part of an answer that is used."""

    model: str = ""
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


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
    try:
        checked = _Completion.model_validate(completion)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        return ResultLine(number, body, kind="unusable", problem=f"the answer is no chat completion ({field}: {first['msg']})")
    problem = unusable(completion)
    reply = Reply(body, completion)
    usage = (reply.tokens[0], reply.cached_prompt_tokens, reply.tokens[1]) if checked.usage is not None else None
    return ResultLine(number, body, checked.model, usage, "unusable" if problem else "", problem)


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
