"""The key of a request's meaning: equal for requests that any server must answer alike, and only for those.

What differs between servers is left to split: `temperature` and `top_p` have OpenAI's default 1 only at OpenAI (vLLM takes
them from the model's generation_config.json), and so an absent field and a written 1 are two requests.
"""

import json
from hashlib import sha256
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.teacher import ChatRequest

_WITHOUT_MEANING = frozenset({"user", "stream", "stream_options", "safety_identifier", "prompt_cache_key"})
_DEFAULTS: dict[str, Any] = {
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "logit_bias": {},
    "response_format": {"type": "text"},
    "tools": [],
    "stop": [],
}


def request_key(backend: str, model: str, request: ChatRequest) -> str:
    """SHA-256 in hex of backend, model, messages, fields and `metadata.sample_index`; raises InvalidInput for what JSON cannot hold."""
    fields = {name: _canonical_field(name, value) for name, value in (request.model_extra or {}).items() if name not in _WITHOUT_MEANING}
    meaning = {
        "backend": backend,
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "fields": {name: value for name, value in fields.items() if value is not None and value != _DEFAULTS.get(name)},
        "sample_index": sample_index(request),
    }
    try:
        text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return sha256(text.encode()).hexdigest()
    except ValueError as error:
        raise InvalidInput(f"the request holds a value that JSON cannot carry: {error}") from error


def sample_index(request: ChatRequest) -> int:
    """`metadata.sample_index`, 0 when absent: which of several answers to one question is wanted."""
    text = request.metadata.get("sample_index", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidInput(f"metadata.sample_index is {text[:40]!r}; it must be a whole number from 0")
    return int(text)


def _canonical_field(name: str, value: Any) -> Any:
    return _plain([value] if name == "stop" and isinstance(value, str) else value)


def _plain(value: Any) -> Any:
    """JSON has one number type: 0 and 0.0 are equal. True and 1 are not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
