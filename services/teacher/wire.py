"""OpenAI's shapes on the wire: the completion, the model list, and the error that its clients can show."""

import re
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from askback.contracts.errors import InvalidInput, ServiceError
from askback.contracts.teacher import ChatRequest
from services.teacher.core import Answer


def refuse_unsupported(request: ChatRequest) -> None:
    """Raises InvalidInput for fields whose effect the answer could not carry, rather than drop them silently."""
    fields = request.model_extra or {}
    if fields.get("stream"):
        raise InvalidInput("stream: streaming is not supported yet; send stream=false")
    if fields.get("n") not in (None, 1):
        raise InvalidInput("n: must be 1; ask for further answers with metadata.sample_index 1, 2, ...")
    for field in ("logprobs", "tools", "functions"):
        if fields.get(field):
            raise InvalidInput(f"{field}: is not supported; the teacher answers with text alone")


def completion_response(answer: Answer) -> JSONResponse:
    """A `chat.completion` object; headers say where it came from and what it cost."""
    completion = answer.completion
    body = {
        "id": f"chatcmpl-{answer.request_hash[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": completion.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": completion.text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "total_tokens": completion.prompt_tokens + completion.completion_tokens,
        },
    }
    headers = {
        "x-askback-backend": answer.backend,
        "x-cache": answer.cache,
        "x-askback-cost-usd": f"{completion.cost_usd:.10f}",
        "x-askback-request-hash": answer.request_hash,
    }
    return JSONResponse(body, headers=headers)


def models_body(names: list[str]) -> dict[str, Any]:
    """OpenAI's list of models."""
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "askback"} for name in names]}


def error_response(error: ServiceError) -> JSONResponse:
    """OpenAI's error shape. `x-should-retry: false` keeps its clients from paying again for what will fail again."""
    kind = type(error).__name__
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    headers = {"retry-after": "1"} if error.status == 503 else {"x-should-retry": "false"}
    return JSONResponse({"error": {"type": kind, "message": str(error), "code": code, "param": None}}, status_code=error.status, headers=headers)


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def shaped(request: Request) -> Response:
            try:
                return await handler(request)
            except ServiceError as error:
                return error_response(error)
            except RequestValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
                return error_response(InvalidInput(f"{field}: {first['msg']}"))

        return shaped
