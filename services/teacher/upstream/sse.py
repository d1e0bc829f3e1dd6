"""Streams of completion chunks: read from an upstream, put together to one completion, and made anew from a kept one."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

DONE = b"[DONE]"


def event(payload: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + payload + b"\n\n"


class EventReader:
    """Cuts a stream of bytes into the data of its server-sent events (WHATWG HTML, section 9.2); other fields are ignored."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of every event that `received` completes."""
        lines = (self._rest + received).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data.clear()


class Assembler:
    """Puts the chunks of one stream together."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        """Take in one `chat.completion.chunk`; raises KeyError, TypeError or AttributeError for what is none."""
        for name, value in chunk.items():
            if name not in ("choices", "usage", "object") and value is not None:
                self._head.setdefault(name, value)
        self._usage = chunk.get("usage") or self._usage
        for part in chunk["choices"]:
            choice = self._choices.setdefault(part.get("index", 0), {"message": {"role": "assistant", "content": None}, "finish_reason": None})
            _merge_delta(choice["message"], part.get("delta") or {})
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
            if part.get("logprobs"):
                _merge_delta(choice.setdefault("logprobs", {}), part["logprobs"])

    @property
    def finished(self) -> bool:
        """Whether every choice said why it ended: a stream that was cut did not."""
        return bool(self._choices) and all(choice["finish_reason"] for choice in self._choices.values())

    def completion(self) -> dict[str, Any]:
        """The `chat.completion` that the same request without `stream` would have got."""
        choices = []
        for index, choice in sorted(self._choices.items()):
            calls = choice["message"].get("tool_calls")
            message = choice["message"] | ({"tool_calls": list(calls.values())} if calls else {})
            choices.append({"index": index} | choice | {"message": message})
        return self._head | {"object": "chat.completion", "choices": choices} | ({"usage": self._usage} if self._usage else {})


def _merge_delta(whole: dict[str, Any], delta: dict[str, Any]) -> None:
    """Texts are continued, lists extended (tool calls by their index), the rest is set."""
    for name, value in delta.items():
        if value is None:
            continue
        if name == "tool_calls":
            _merge_tool_calls(whole.setdefault(name, {}), value)
        elif isinstance(value, str) and name not in ("role", "id", "type"):
            whole[name] = (whole.get(name) or "") + value
        elif isinstance(value, list):
            whole[name] = (whole.get(name) or []) + value
        elif isinstance(value, dict):
            _merge_delta(whole.setdefault(name, {}), value)
        else:
            whole[name] = value


def _merge_tool_calls(calls: dict[int, dict[str, Any]], deltas: Iterable[dict[str, Any]]) -> None:
    for delta in deltas:
        call = calls.setdefault(delta.get("index", len(calls)), {})
        _merge_delta(call, {name: value for name, value in delta.items() if name != "index"})


def chunks_of(completion: dict[str, Any], include_usage: bool) -> Iterator[bytes]:
    """The data of the events that stream `completion`: texts word by word, everything else in one piece, `[DONE]` last."""
    head = {name: value for name, value in completion.items() if name not in ("choices", "usage", "object")} | {"object": "chat.completion.chunk"}
    for choice in completion["choices"]:
        for delta, extra in _deltas(choice):
            yield orjson.dumps(head | {"choices": [{"index": choice.get("index", 0), "delta": delta, "finish_reason": None} | extra]})
    if include_usage and completion.get("usage"):
        yield orjson.dumps(head | {"choices": [], "usage": completion["usage"]})
    yield DONE


def _deltas(choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    message = choice["message"]
    texts = {name: value for name, value in message.items() if isinstance(value, str) and name != "role"}
    others = {name: value for name, value in message.items() if value is not None and name not in texts and name != "role"}
    if "tool_calls" in others:
        others["tool_calls"] = [{"index": number} | call for number, call in enumerate(others["tool_calls"])]
    logprobs = {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
    yield {"role": message.get("role", "assistant")} | others, logprobs
    for name, text in texts.items():
        for word in re.findall(r"\s*\S+|\s+", text):
            yield {name: word}, {}
    yield {}, {"finish_reason": choice.get("finish_reason") or "stop"}


def is_usage_alone(chunk: dict[str, Any]) -> bool:
    """Whether a chunk is the last one, which upstreams send only to those who asked for it."""
    return not chunk.get("choices") and bool(chunk.get("usage"))
