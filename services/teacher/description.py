"""The OpenAPI description of the route that is served outside of the framework."""

from typing import Any

from askback.contracts.teacher import ChatRequest
from services.teacher.chat_door import PATH

_ERRORS = {
    "401": "A key is asked for",
    "402": "A budget would be passed",
    "404": "No such backend, or no recording",
    "413": "The body is too large",
    "422": "A field is wrong",
    "502": "The upstream's answer cannot be used",
    "503": "The upstream cannot be reached",
    "504": "The deadline passed, or only a cached answer was wanted",
}
_HEADERS = {
    "cache-control": "no-cache, no-store, only-if-cached, max-age=SECONDS",
    "x-askback-run": "The run that pays",
    "x-askback-deadline-s": "Seconds that the caller waits",
    "x-request-id": "Named in the log and passed on upstream",
}


def describe_chat(described: dict[str, Any]) -> None:
    """Add `POST /v1/chat/completions` to an OpenAPI description."""
    schema = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    described["components"]["schemas"] |= schema.pop("$defs", {})
    described["paths"][PATH] = {
        "post": {
            "summary": "A chat completion, as OpenAI's API has it",
            "operationId": "chat_completions",
            "tags": ["chat"],
            "parameters": [{"name": name, "in": "header", "description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()],
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": _responses(),
        }
    }


def _responses() -> dict[str, Any]:
    error = {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "object"}}, "required": ["error"]}}}
    answer = {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {"schema": {"type": "string"}}}
    good = {"200": {"description": "A chat.completion, or a stream of its chunks", "content": answer}}
    return good | {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
