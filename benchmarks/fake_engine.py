"""A fake inference engine: answers as vLLM's server does, after a fixed time for the first token and for each further one.

Started by the student benchmark as a process of its own. GET /calls returns {"calls": completions so far}.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvloop

from benchmarks.http_protocol import HttpProtocol, response

BASE = "student-base"
_STREAM = re.compile(rb'"stream": ?true')
_WORDS = 16
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_QUESTIONS = "1. What is asked for in this question?\n2. Which fact would decide it?"


def whole(text: str, tokens: int, logprobs: bool = False) -> bytes:
    """The body of a chat completion of `tokens` tokens."""
    top = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in (("yes", -0.4), ("no", -1.2))]
    content = [{**top[0], "top_logprobs": top}]
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": {"content": content} if logprobs else None}
    usage = {"prompt_tokens": 40, "completion_tokens": tokens, "total_tokens": 40 + tokens}
    return _json(choices=[choice | {"finish_reason": "stop"}], usage=usage, object="chat.completion")


def _json(**fields: Any) -> bytes:
    return json.dumps({"id": "chatcmpl-1", "created": 1, "model": BASE} | fields, separators=(",", ":")).encode()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    body = _json(object="chat.completion.chunk", choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])
    return _chunk(b"data: " + body + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class FakeEngine:
    """What the engine says, and how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self._choice = response(200, whole("yes", 1, logprobs=True))
        self._questions = response(200, whole(_QUESTIONS, 20))
        self._text = response(200, whole("word " * _WORDS, _WORDS))
        self._others = {
            "/health": response(200, b""),
            "/v1/models": response(200, json.dumps({"object": "list", "data": [{"id": BASE, "object": "model", "parent": None}]}).encode()),
        }
        events = [_event({"role": "assistant", "content": ""}), *[_event({"content": "word "})] * (_WORDS - 1), _event({"content": "end"}, "stop")]
        self.stream = [_STREAM_HEAD + events[0] + events[1], *events[2:-1], events[-1] + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]

    def answer(self, path: str, body: bytes) -> tuple[bytes, int]:
        """(response, its tokens); for a stream the response is empty. No tokens: it is not to be waited for."""
        if not path.endswith("/completions"):
            known = response(200, json.dumps({"calls": self.calls}).encode()) if path == "/calls" else self._others.get(path)
            return known or response(404, b"{}"), 0
        self.calls += 1
        if b'"choice"' in body:
            return self._choice, 1
        if b'"regex"' in body:
            return self._questions, 20
        return (b"" if _STREAM.search(body) else self._text), _WORDS


class EngineProtocol(HttpProtocol):
    """One connection, on which answers are sent when their tokens are written."""

    def __init__(self, engine: FakeEngine, later: Callable[[float, Callable[[], None]], object], first_s: float, token_s: float) -> None:
        super().__init__(self._take)
        self._engine, self._later, self._first_s, self._token_s = engine, later, first_s, token_s
        self._way: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._way = cast(asyncio.Transport, transport)

    def _take(self, path: str, body: bytes) -> bytes:
        answer, tokens = self._engine.answer(path, body)
        if not tokens:
            return answer
        if answer:
            self._later(self._first_s + (tokens - 1) * self._token_s, partial(self._write, answer))
        else:
            for number, piece in enumerate(self._engine.stream):
                self._later(self._first_s + number * self._token_s, partial(self._write, piece))
        return b""

    def _write(self, data: bytes) -> None:
        assert self._way is not None
        self._way.write(data)


async def _serve(port: int, first_s: float, token_s: float) -> None:
    engine, loop = FakeEngine(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: EngineProtocol(engine, loop.call_later, first_s, token_s), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first-ms", type=float, required=True, help="milliseconds to the first token")
    parser.add_argument("--token-ms", type=float, required=True, help="milliseconds to each further token")
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.first_ms / 1e3, options.token_ms / 1e3))


if __name__ == "__main__":
    main()
