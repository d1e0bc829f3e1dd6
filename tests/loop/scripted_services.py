"""A student service of few words in a thread, with the same answer to the same question; it also says that it is ready for any other service."""

import asyncio
import threading
from hashlib import sha256
from typing import Any

from aiohttp import web

UNASKED = "[unasked]"
"""A question with this in it is one that the student can ask nothing about."""


def drafted(question: str) -> str:
    """The student's draft of an answer."""
    return "yes" if sha256(question.encode()).digest()[0] % 2 else "no"


class ScriptedServices:
    """`with ScriptedServices() as services:` serves on `services.url` until the block ends."""

    def __init__(self) -> None:
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()], daemon=True)
        self._started, self._ended = threading.Event(), asyncio.Event()

    def __enter__(self) -> "ScriptedServices":
        self._thread.start()
        assert self._started.wait(10), "the scripted services did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/v1/adapters", self._adapters)
        app.router.add_post("/v1/clarify", self._clarify)
        app.router.add_post("/v1/answer", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _ready(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ready"})

    async def _adapters(self, request: web.Request) -> web.Response:
        return web.json_response({"base_model": "scripted", "default": "base", "adapters": []})

    async def _clarify(self, request: web.Request) -> web.Response:
        question = (await request.json())["question"]
        if UNASKED in question:
            return web.json_response({"error": "UpstreamRejected", "detail": "the student wrote no question"}, status=502)
        words = question.rstrip("?").split()
        draft = {"answer": drafted(question), "p_yes": 0.5, "questions": [f"What is {words[-1]}?", f"Who is {words[-2]}?"]}
        return web.json_response({"draft": draft, "model": "scripted", "usage": _usage(question)})

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        read = " ".join(exchange["answer"] for exchange in body["exchanges"])
        answer = drafted(body["question"] + read)
        return web.json_response({"answer": answer, "text": answer, "model": "scripted", "usage": _usage(body["question"] + read)})


def _usage(text: str) -> dict[str, Any]:
    return {"prompt_tokens": len(text.split()), "completion_tokens": 1, "cost_usd": 0.0, "latency_s": 0.001}
