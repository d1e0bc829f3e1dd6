"""An answer as it is kept and served: the upstream's own bytes, and what they cost."""

import time
from dataclasses import dataclass
from typing import Any

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
