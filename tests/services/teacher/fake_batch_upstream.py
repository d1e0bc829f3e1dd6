"""A small server with OpenAI's /v1/files and /v1/batches, whose batches end when a test says so, and which fails on demand."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Respond = Callable[[dict[str, Any]], dict[str, Any] | None]
"""Makes a result's `response` and `error` of a request's body; None leaves the request without a line."""


def completion(text: str = "Yes.", **fields: Any) -> dict[str, Any]:
    """A `chat.completion` of 10 prompt tokens and 5 of the answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"id": "c", "object": "chat.completion", "model": "big-2026", "choices": [choice], "usage": usage} | fields


def answer(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A good result, whose text repeats the question."""
    return {"response": {"status_code": 200, "body": completion(f"To: {body['messages'][-1]['content']}", **fields)}, "error": None}


@dataclass
class FakeBatchUpstream:
    """Use as an async context manager; `url` is the base_url then."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """upload, list, create, status, cancel and download, as they come."""
    keys: set[str] = field(default_factory=set)
    troubles: list[tuple[str, Any]] = field(default_factory=list)
    """(call, what goes wrong with the next one of it): an HTTP status, (status, body, headers), `html`, `drop` or `hang` after the
    work is done, or `cut` in the middle of a download."""
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    keeps_metadata: bool = True
    page: int = 100

    async def __aenter__(self) -> "FakeBatchUpstream":
        app = web.Application(client_max_size=2**29)
        for verb, path, call in (
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files/{id}/content", self._download),
            ("GET", "/v1/batches", self._list),
            ("POST", "/v1/batches", self._create),
            ("GET", "/v1/batches/{id}", self._status),
            ("POST", "/v1/batches/{id}/cancel", self._cancel),
        ):
            app.router.add_route(verb, path, self._with_troubles(call))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def requests(self, batch_id: str) -> list[dict[str, Any]]:
        """The lines of a batch's file."""
        return [json.loads(line) for line in self.files[self.batches[batch_id]["input_file_id"]].splitlines()]

    def finish(self, respond: Respond = answer, status: str = "completed", batch_id: str = "", **fields: Any) -> None:
        """End a batch, the last one unless named: results with status 200 in one file, the others in another."""
        batch = self.batches[batch_id or list(self.batches)[-1]]
        good, bad = list[str](), list[str]()
        for request in self.requests(batch["id"]):
            result = respond(request["body"])
            if result is not None:
                whole = (result.get("response") or {}).get("status_code") == 200
                (good if whole else bad).append(json.dumps({"id": "r", "custom_id": request["custom_id"]} | result, ensure_ascii=False) + "\n")
        for kind, lines in (("output", good), ("error", bad)):
            if lines:
                batch[f"{kind}_file_id"] = f"file-{kind}-{batch['id']}"
                self.files[batch[f"{kind}_file_id"]] = "".join(lines).encode()
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        batch |= {"status": status} | fields

    def _with_troubles(self, call: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        name = call.__name__.removeprefix("_")

        async def handle(request: web.Request) -> web.StreamResponse:
            self.calls.append(name)
            self.keys.add(request.headers.get("authorization", ""))
            trouble = next((what for which, what in self.troubles if which == name), None)
            if trouble is not None:
                self.troubles.remove((name, trouble))
            if isinstance(trouble, int):
                trouble = (trouble, {"error": {"message": f"no luck with {request.headers.get('authorization')}", "code": None}}, {})
            if isinstance(trouble, tuple):
                return web.json_response(trouble[1], status=trouble[0], headers=trouble[2])
            if trouble == "html":
                return web.Response(text="<html>sign in</html>", content_type="text/html")
            response = await call(request)
            if trouble == "cut":
                return await self._cut(request, response)
            if trouble == "hang":
                self.hung.set()
                await asyncio.sleep(60)
            if trouble == "drop":
                assert request.transport is not None
                request.transport.close()
            return response

        return handle

    @staticmethod
    async def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        assert isinstance(response, web.Response) and isinstance(response.body, bytes) and request.transport is not None
        partial = web.StreamResponse(headers={"content-length": str(len(response.body))})
        await partial.prepare(request)
        await partial.write(response.body[: len(response.body) // 2])
        request.transport.close()
        return partial

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField) and form["purpose"] == "batch"
        identifier = f"file-{len(self.files) + 1}"
        self.files[identifier], self.names[identifier] = file.file.read(), file.filename
        return web.json_response({"id": identifier, "object": "file", "filename": file.filename, "purpose": "batch"})

    async def _download(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["id"])
        return self._missing() if content is None else web.Response(body=content)

    async def _list(self, request: web.Request) -> web.Response:
        newest = list(reversed(self.batches))
        start = newest.index(request.query["after"]) + 1 if "after" in request.query else 0
        end = start + min(self.page, int(request.query["limit"]))
        shown = [self.batches[identifier] for identifier in newest[start:end]]
        return web.json_response({"object": "list", "data": shown, "has_more": end < len(newest)})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["endpoint"] == "/v1/chat/completions" and body["completion_window"] == "24h"
        if body["input_file_id"] not in self.files:
            return self._missing(400)
        identifier = f"batch-{len(self.batches) + 1}"
        self.batches[identifier] = {
            "id": identifier,
            "object": "batch",
            "status": "in_progress",
            "input_file_id": body["input_file_id"],
            "metadata": body.get("metadata") if self.keeps_metadata else None,
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        return web.json_response(self.batches[identifier])

    async def _status(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        return self._missing() if batch is None else web.json_response(batch)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        batch["status"] = "cancelling"
        return web.json_response(batch)

    @staticmethod
    def _missing(status: int = 404) -> web.Response:
        return web.json_response({"error": {"message": "no such object", "type": "invalid_request_error", "code": None}}, status=status)
