"""An answer as it is kept and served: the upstream's own bytes, and what they cost."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import orjson


@dataclass(frozen=True, slots=True)
class Completion:
    """A `chat.completion` object as JSON, with what is asked of it often. Tokens and dollars are 0 for recorded answers."""

    body: bytes
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    """What it cost when it was bought."""
    created_at: float = 0.0
    """Seconds of the Unix clock."""


class Used(NamedTuple):
    """Tokens of one call, in the order that `Price.cost` takes them."""

    prompt: int
    cached: int
    """Prompt tokens that the upstream read from its own cache, and charges less for."""
    completion: int
    written: int
    """Prompt tokens that the upstream wrote to its own cache, and may charge more for."""


def used_by(body: dict[str, Any]) -> Used | None:
    """The `usage` of a checked `chat.completion`; None when the upstream does not say."""
    usage = body.get("usage")
    if not usage:
        return None
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    cached, written = _count(details.get("cached_tokens")), _count(details.get("cache_write_tokens"))
    return Used(_count(usage.get("prompt_tokens")), cached, _count(usage.get("completion_tokens")), written)


def _count(value: Any) -> int:
    return value if _is_count(value) else 0


def complaint(body: Any) -> str:
    """Why `body` is no `chat.completion`, as far as any part of it is used; empty when it is one."""
    if not isinstance(body, dict):
        return "not an object"
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        return "choices: must be a list of at least one"
    for number, choice in enumerate(choices):
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
            return f"choices.{number}.message.content: must be a text"
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            return f"choices.{number}.message.tool_calls: must be a list of objects"
    usage = body.get("usage")
    if usage is not None and not (isinstance(usage, dict) and all(_is_count(usage.get(name, 0)) for name in ("prompt_tokens", "completion_tokens"))):
        return "usage: must hold whole numbers"
    return "" if isinstance(body.get("model", ""), str) else "model: must be a text"


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def unusable(body: dict[str, Any]) -> str:
    """Why a `chat.completion` is not to be kept; empty for a whole answer."""
    for choice in body["choices"]:
        reason, message = choice.get("finish_reason"), choice.get("message") or {}
        if reason == "length":
            return "the answer is truncated at its token limit"
        if reason not in (None, "stop", "tool_calls", "function_call"):
            return f"the answer ended with finish_reason {reason!r}"
        if not (message.get("content") or "").strip() and not message.get("tool_calls") and not message.get("function_call"):
            return "the answer holds no text"
    return ""


def text_completion(text: str, model: str, identifier: str) -> Completion:
    """A recorded text as a completion without tokens or cost."""
    now = time.time()
    message = {"role": "assistant", "content": text, "refusal": None}
    body = {
        "id": f"chatcmpl-{identifier[:24]}",
        "object": "chat.completion",
        "created": int(now),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    return Completion(orjson.dumps(body), model, created_at=now)
