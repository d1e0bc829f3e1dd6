"""The canonical form of a request's meaning: equal for requests that any server must answer alike, and only for those.

What differs between servers is left to split: `temperature` and `top_p` have OpenAI's default 1 only at OpenAI (vLLM takes
them from the model's generation_config.json), and so an absent field and a written 1 are two requests.
"""

from hashlib import sha256
from typing import Any

import orjson

from askback.contracts.errors import InvalidInput

VERSION = 1  # a part of every key, so that entries made under other rules are never taken for answers

_WITHOUT_MEANING = frozenset(
    {
        "model",  # the backend and its own model stand in the key
        "metadata",
        "messages",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "user",
    }
)
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
_EXACT = 2.0**53  # beyond it a float's neighbours are not whole numbers, and orjson writes no integer over 64 bits


def meaning_of(body: dict[str, Any], sample_index: int) -> bytes:
    """Canonical JSON of all in `body` that decides the answer; raises InvalidInput for what JSON cannot hold or nests too deep."""
    try:
        fields = {name: _field(name, value) for name, value in body.items() if name not in _WITHOUT_MEANING and value is not None}
        meaning = {
            "version": VERSION,
            "messages": [_message(message) for message in body["messages"]],
            "fields": {name: value for name, value in fields.items() if value != _DEFAULTS.get(name)},
            "sample_index": sample_index,
        }
        return orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)
    except RecursionError:
        raise InvalidInput("the request nests too deep; flatten it") from None
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the request holds a value that JSON cannot carry: {error}") from error


def request_key(backend: str, model: str, meaning: bytes) -> str:
    """SHA-256 in hex of who answers and what is asked: the key of the cache."""
    return sha256(b"\0".join((backend.encode(), model.encode(), meaning))).hexdigest()


def _field(name: str, value: Any) -> Any:
    return _plain([value] if name == "stop" and isinstance(value, str) else value)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A message without fields that are null; a content of one text part is that text."""
    content = message.get("content")
    if type(content) is str and len(message) == 2:
        return message
    plain = {name: _plain(value) for name, value in message.items() if value is not None}
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and content[0].keys() == {"type", "text"}:
        plain["content"] = content[0]["text"] if content[0]["type"] == "text" else plain["content"]
    return plain


def _plain(value: Any) -> Any:
    """JSON has one number type: 0 and 0.0 are equal. True and 1 are not."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
