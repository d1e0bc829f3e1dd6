"""Completions of the fake upstream, whole and as the chunks of a stream, in the shape of OpenAI's API."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PROMPT_TOKENS, COMPLETION_TOKENS = 7, 10
"""What every answer is said to have used."""
_USAGE = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS}


def completion_of(number: int, body: Mapping[str, Any], finish_reason: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """The `number`-th answer to the request `body`; `message` overrides fields of its messages."""
    choices = []
    for index in range(min(body.get("n") or 1, 8)):
        text = f"answer {number}.{index} to {body['messages'][-1].get('content')}"
        choice = {"index": index, "message": {"role": "assistant", "content": text} | dict(message), "finish_reason": finish_reason}
        choices.append(choice | ({"logprobs": {"content": _logprobs(text)}} if body.get("logprobs") else {}))
    return _head(number, body) | {"object": "chat.completion", "choices": choices, "usage": _USAGE}


def stream_of(number: int, body: Mapping[str, Any], finish_reason: str, message: Mapping[str, Any]) -> Iterator[bytes]:
    """The data of the events that stream the same: word by word, tool calls in halves; the usage if asked for; `[DONE]`."""
    head = _head(number, body) | {"object": "chat.completion.chunk"}
    for choice in completion_of(number, body, finish_reason, message)["choices"]:
        for delta, logprobs, reason in _deltas(choice):
            part = {"index": choice["index"], "delta": delta, "finish_reason": reason} | ({"logprobs": {"content": logprobs}} if logprobs else {})
            yield json.dumps(head | {"choices": [part]}).encode()
    if (body.get("stream_options") or {}).get("include_usage"):
        yield json.dumps(head | {"choices": [], "usage": _USAGE}).encode()
    yield b"[DONE]"


def _head(number: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "created": 1, "model": f"{body['model']}-2026"}


def _deltas(choice: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Sequence[Any], str | None]]:
    """(delta, logprobs, finish_reason) of each chunk."""
    message, logprobs = choice["message"], list((choice.get("logprobs") or {}).get("content", ()))
    yield {"role": message["role"], "content": ""}, (), None
    for name in ("reasoning_content", "content"):
        for word in _words(message.get(name) or ""):
            yield {name: word}, [logprobs.pop(0)] if name == "content" and logprobs else (), None
    for index, call in enumerate(message.get("tool_calls") or ()):
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        named = call | {"index": index, "function": call["function"] | {"arguments": arguments[:half]}}
        yield {"tool_calls": [named]}, (), None
        yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]}, (), None
    yield {}, (), choice["finish_reason"]


def _words(text: str) -> list[str]:
    """`text` cut before each space."""
    return [(" " if position else "") + word for position, word in enumerate(text.split(" "))] if text else []


def _logprobs(text: str) -> list[dict[str, Any]]:
    return [{"token": word, "logprob": -0.5, "bytes": list(word.encode()), "top_logprobs": []} for word in _words(text)]
