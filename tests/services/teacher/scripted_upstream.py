"""An upstream that answers as told, without a network."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from services.teacher.flights import Emit
from services.teacher.upstream.protocol import Reply, TryFailed

Step = TryFailed | Mapping[str, Any] | None


def completion(text: str = "bought", finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """A chat completion of 10 and 5 tokens: 2e-5 dollars at the prices of `make_parts`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "big-2026", "choices": [choice], "usage": usage} | fields


class ScriptedUpstream:
    """Takes `steps` in turn (an error to raise or a completion), then answers `answer N`; holds every call until `go` is set."""

    def __init__(self, *steps: Step, hold: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self.steps, self.go = list(steps), asyncio.Event()
        if not hold:
            self.go.set()

    @property
    def calls(self) -> int:
        return len(self.sent)

    async def send(self, body: bytes, timeout_s: float, emit: Emit | None = None) -> Reply:
        self.sent.append(orjson.loads(body))
        number = self.calls
        if emit is not None:
            emit(b'{"choices": [{"index": 0, "delta": {"content": "answer"}}]}')
        await self.go.wait()
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, TryFailed):
            raise step
        answer = dict(step or completion(f"answer {number}"))
        if emit is not None:
            emit(orjson.dumps({"choices": [{"index": 0, "delta": {"content": f" {number}"}}]}))
            emit(orjson.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        return Reply(orjson.dumps(answer), answer)

    async def close(self) -> None:
        pass
