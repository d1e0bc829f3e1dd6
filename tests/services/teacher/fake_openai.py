"""A fake OpenAI server for whole-process tests: counts what it was paid for and misbehaves on request.

It runs in a thread with an event loop of its own; tests read and set its attributes. It is written on aiohttp, since a
connection that is closed without an answer cannot be said in ASGI.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiohttp import web
from fake_completions import completion_of, stream_of


class Fault(Enum):
    """What a call that is paid for can come to instead of an answer."""

    TRUNCATED = "less bytes than its content-length says"
    INVALID_JSON = "no JSON"
    HANG = "no answer, for as long as the caller waits"
    CLOSED = "a closed connection"
    CUT = "a stream that ends after two words"


@dataclass(frozen=True)
class Good:
    """An answer. The text names the call and its prompt, so that two purchases of one prompt differ."""

    finish_reason: str = "stop"
    message: Mapping[str, Any] = field(default_factory=dict)
    """Fields set in every choice's message."""
    chunk_gap_s: float = 0.0
    """Seconds between the chunks of a stream."""


@dataclass(frozen=True)
class Refusal:
    """An error status; nothing is paid."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""


@dataclass(frozen=True)
class Call:
    """A request as it arrived; the first one of a server has number 1."""

    number: int
    at: float
    """Seconds of the monotonic clock."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def prompt(self) -> str:
        """The last message's text."""
        return str(self.body["messages"][-1].get("content"))


class TokenBucket:
    """A limit on the rate: holds `burst` calls at most, and gets `per_minute` evenly."""

    def __init__(self, per_minute: float, burst: int, announces: bool = True) -> None:
        """Whether it `announces` what is left with each reply, as OpenAI does."""
        self._per_minute, self._burst, self._announces = per_minute, burst, announces
        self._level, self._at = float(burst), 0.0

    def admit(self, now: float) -> bool:
        """Whether a call may come in now, which takes one."""
        self._level = min(self._burst, self._level + (now - self._at) * self._per_minute / 60)
        self._at = now
        allowed = self._level >= 1
        self._level -= allowed
        return allowed

    def headers(self) -> dict[str, str]:
        """The announcement, as of the last call."""
        full_s = (self._burst - self._level) * 60 / self._per_minute
        announced = {"limit": f"{self._per_minute:.0f}", "remaining": f"{self._level:.0f}", "reset": f"{full_s * 1000:.0f}ms"}
        return {f"x-ratelimit-{what}-requests": value for what, value in announced.items()} if self._announces else {}


Plan = Callable[[Call], Good | Refusal | Fault]


class FakeOpenAI:
    """`with FakeOpenAI() as upstream:` serves on `upstream.url` until the block ends."""

    def __init__(self) -> None:
        self.url = ""
        self.latency_s = 0.0
        self.rate: TokenBucket | None = None
        self.forget()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()], daemon=True)
        self._started, self._ended, self._open = threading.Event(), asyncio.Event(), asyncio.Event()

    def __enter__(self) -> "FakeOpenAI":
        self._open.set()
        self._thread.start()
        assert self._started.wait(10), "the fake upstream did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def forget(self) -> None:
        """Count from 0 again, and answer well from now on."""
        self.plan: Plan = lambda call: Good()
        self.calls: list[Call] = []
        """All that arrived."""
        self.paid: Counter[str] = Counter()
        """Calls that were paid for, by prompt: from their arrival on, whatever becomes of the answer."""

    def hold(self) -> None:
        """Answer nobody until `release`. Refusals are given all the same."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._started.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        now = time.monotonic()
        call = Call(len(self.calls) + 1, now, await request.json(), {name.lower(): value for name, value in request.headers.items()})
        self.calls.append(call)
        rated = self.rate is None or self.rate.admit(now)
        announced = self.rate.headers() if self.rate else {}
        behaviour = self.plan(call) if rated else Refusal(429)
        if isinstance(behaviour, Refusal):
            await asyncio.sleep(self.latency_s)
            error = {"message": f"scripted refusal {behaviour.status}", "type": "scripted", "code": behaviour.code or None}
            return web.json_response({"error": error}, status=behaviour.status, headers=announced | dict(behaviour.headers))
        self.paid[call.prompt] += 1
        await asyncio.sleep(self.latency_s)
        await self._open.wait()
        if isinstance(behaviour, Fault):
            return await self._fail(request, call, behaviour)
        if call.body.get("stream"):
            return await self._stream(request, call, behaviour, announced)
        return web.json_response(completion_of(call.number, call.body, behaviour.finish_reason, behaviour.message), headers=announced)

    async def _fail(self, request: web.Request, call: Call, fault: Fault) -> web.StreamResponse:
        if fault is Fault.CUT:
            return await self._stream(request, call, Good(), {}, cut_after=3)  # the role and two words
        if fault is Fault.INVALID_JSON:
            kind = "text/event-stream" if call.body.get("stream") else "application/json"
            return web.Response(body=b'data: {"choices": [{]\n\n', content_type=kind)
        if fault is Fault.HANG:
            await self._ended.wait()
        elif fault is Fault.TRUNCATED:
            response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
            await response.prepare(request)
            await response.write(b'{"id": "chatcmpl-1", "choices": [')
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def _stream(
        self, request: web.Request, call: Call, good: Good, announced: Mapping[str, str], cut_after: int | None = None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **announced})
        await response.prepare(request)
        for payload in list(stream_of(call.number, call.body, good.finish_reason, good.message))[:cut_after]:
            await response.write(b"data: " + payload + b"\n\n")
            await asyncio.sleep(good.chunk_gap_s)
        return response
