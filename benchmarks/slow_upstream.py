"""A fake upstream with a fixed latency, whose answers are a teacher's. Started by the harvest benchmark as a process of its own.

GET /calls returns {"calls": completions so far, "most_under_way": the most of them at a time}.
"""

import argparse
import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

from benchmarks.fake_upstream import completion
from benchmarks.http_protocol import Answer, HttpProtocol, response

Later = Callable[[Callable[[], None]], object]
"""Calls its argument when the latency is over."""

_REPLY = """Q1. What is asked for?
The question is about a number that is written with twelve digits.
Q2. What is known of it?
It is even or odd, and either can be seen from its last digit.
Final answer: Is it so?
The answer is yes."""


class SlowUpstream:
    """Answers every chat completion as a teacher would, and counts."""

    def __init__(self, later: Later) -> None:
        self.calls = 0
        self.under_way = 0
        self.most_under_way = 0
        self._later = later
        self._completion = response(200, completion(_REPLY))

    def answer(self, path: str, _body: bytes) -> bytes:
        """The response to one request, which the caller shall send `later`."""
        if path.endswith("/chat/completions"):
            self.calls += 1
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self._later(self._ended)
            return self._completion
        if path == "/calls":
            return response(200, json.dumps({"calls": self.calls, "most_under_way": self.most_under_way}).encode())
        return response(404, b"{}")

    def _ended(self) -> None:
        self.under_way -= 1


class SlowProtocol(HttpProtocol):
    """One connection, on which answers are sent `later`."""

    def __init__(self, answer: Answer, later: Later) -> None:
        super().__init__(answer)
        self._later = later

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, _LateWriter(cast(asyncio.Transport, transport), self._later)))


class _LateWriter:
    """The one method of a transport that HttpProtocol uses."""

    def __init__(self, transport: asyncio.Transport, later: Later) -> None:
        self._transport, self._later = transport, later

    def write(self, data: bytes) -> None:
        self._later(partial(self._transport.write, data))


async def _serve(port: int, latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    later = partial(loop.call_later, latency_s)
    upstream = SlowUpstream(later)
    server = await loop.create_server(lambda: SlowProtocol(upstream.answer, later), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-s", type=float, required=True)
    options = parser.parse_args()
    uvloop.run(_serve(options.port, options.latency_s))


if __name__ == "__main__":
    main()
