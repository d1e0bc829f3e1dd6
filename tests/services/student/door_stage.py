"""A server of vLLM's shape and the real student before it, both on ports of the loopback."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

BASE = "student-base"


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Runs `app` on a free port until the block ends; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server's start")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    """Return once `condition()` is true; fail with `what` was waited for."""
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends, f"waited {timeout_s:g} s for: {what}"
        time.sleep(0.005)


class FakeVllm:
    """Answers are made of the request's bytes alone, so that equal requests get equal answers. `calls` are the bodies of completions."""

    def __init__(self) -> None:
        self.served = {BASE: "/models/Smol"}
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.loads: list[str] = []
        self.under_way = self.abandoned = self.most_under_way = 0
        self.held = False
        self.gap_s = 0.0
        self.cut_after: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        path = scope["path"]
        if path.endswith("/completions"):
            self.headers.append(dict(scope["headers"]))
            await self._complete(path, body, receive, send)
        elif path == "/v1/models":
            cards = [{"id": name, "object": "model", "root": root, "parent": None if name == BASE else BASE} for name, root in self.served.items()]
            await whole(send, 200, {"object": "list", "data": cards})
        elif path == "/v1/load_lora_adapter":
            asked = json.loads(body)
            self.loads.append(asked["lora_name"])
            self.served[asked["lora_name"]] = asked["lora_path"]
            await whole(send, 200, "Success")
        else:
            await whole(send, 200 if path == "/health" else 404, {})

    async def _complete(self, path: str, body: bytes, receive: Receive, send: Send) -> None:
        try:
            asked = json.loads(body)
        except ValueError:
            await whole(send, 400, error("JSON decode error", 400))
            return
        if not isinstance(asked, dict) or not isinstance(asked.get("model", ""), str):
            await whole(send, 400, error("Input should be a valid request", 400))
            return
        self.calls.append(asked)
        if asked.get("model", BASE) not in self.served:
            await whole(send, 404, error(f"The model `{asked['model']}` does not exist.", 404))
        elif asked.get("max_tokens", 1) > 2048:
            await whole(send, 400, error("max_tokens: maximum context length is 2048 tokens", 400))
        else:
            await self._generate(path, asked, receive, send)

    async def _generate(self, path: str, asked: dict[str, Any], receive: Receive, send: Send) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        gone = asyncio.create_task(receive())
        try:
            while self.held:
                if gone.done():
                    self.abandoned += 1
                    return
                await asyncio.sleep(0.005)
            if asked.get("stream"):
                await self._stream(path, asked, gone, send)
            else:
                await whole(send, 200, completion(path, asked))
        finally:
            gone.cancel()
            self.under_way -= 1

    async def _stream(self, path: str, asked: dict[str, Any], gone: "asyncio.Task[Any]", send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]})
        for number, chunk in enumerate(chunks(path, asked)):
            if gone.done():
                self.abandoned += 1
                return
            if number == self.cut_after:
                raise ConnectionResetError
            await send({"type": "http.response.body", "body": b"data: " + encoded(chunk) + b"\n\n", "more_body": True})
            await asyncio.sleep(self.gap_s)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def encoded(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


async def whole(send: Send, status: int, content: object) -> None:
    body = encoded(content)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"x-engine", b"fake")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error(text: str, status: int) -> dict[str, Any]:
    return {"error": {"message": text, "type": "BadRequestError" if status == 400 else "NotFoundError", "param": None, "code": status}}


def head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    name = hashlib.sha256(encoded(asked)).hexdigest()[:8]
    return {"id": f"cmpl-{name}", "object": kind, "created": 1, "model": asked.get("model", BASE), "system_fingerprint": None}


def words(asked: dict[str, Any]) -> list[str]:
    wanted = asked.get("structured_outputs")
    return [json.dumps(wanted)] if wanted else ["Ja", ", ", "ä", "lways", " \u00fc\u2603", '"completion_tokens":99']


def logprobs(asked: dict[str, Any], word: str) -> dict[str, Any] | None:
    token = {"token": word, "logprob": -0.25, "bytes": list(word.encode())}
    return {"content": [token | {"top_logprobs": [token] * asked.get("top_logprobs", 0)}]} if asked.get("logprobs") else None


def completion(path: str, asked: dict[str, Any]) -> dict[str, Any]:
    text, used = "".join(words(asked)), {"prompt_tokens": 3, "completion_tokens": len(words(asked)), "total_tokens": 9}
    if "chat" not in path:
        choice: dict[str, Any] = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
        return head(asked, "text_completion") | {"choices": [choice], "usage": used}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": logprobs(asked, text), "finish_reason": "stop"}
    return head(asked, "chat.completion") | {"choices": [choice], "usage": used, "prompt_logprobs": None, "kv_transfer_params": None}


def chunks(path: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    if "chat" not in path:
        first = head(asked, "text_completion")
        return [first | {"choices": [{"index": 0, "text": word, "logprobs": None, "finish_reason": None}]} for word in words(asked)]
    first = head(asked, "chat.completion.chunk")
    made = [first | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}]}]
    for word in words(asked):
        made.append(first | {"choices": [{"index": 0, "delta": {"content": word}, "logprobs": logprobs(asked, word), "finish_reason": None}]})
    made.append(first | {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        made.append(first | {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}})
    return made
