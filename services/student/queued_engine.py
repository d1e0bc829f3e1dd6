"""The engine behind the queue: the student's own calls wait for their turns among all others."""

import time
from collections.abc import Sequence
from typing import Protocol

from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.records import Message
from services.student.engine import Engine, Generation, Sampling
from services.student.engine_health import EngineHealth
from services.student.turns import Turns


class Counts(Protocol):
    """What is counted of the generations."""

    def generated(self, tokens: int, seconds: float) -> None: ...


class QueuedEngine:
    """See Engine. Raises TooManyRequests when the queue is full, and says of an engine that fails what is known of it."""

    def __init__(self, engine: Engine, turns: Turns, health: EngineHealth, counts: Counts) -> None:
        self._engine, self._turns, self._health, self._counts = engine, turns, health, counts

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        async with self._turns.turn():
            began = time.monotonic()
            try:
                generation = await self._engine.generate(model, messages, sampling)
            except UpstreamUnavailable as error:
                raise self._health.explained(error) from error
        self._counts.generated(generation.usage.completion_tokens, time.monotonic() - began)
        return generation

    async def load(self, name: str, path: str) -> None:
        await self._engine.load(name, path)

    async def unload(self, name: str) -> None:
        await self._engine.unload(name)

    async def healthy(self) -> bool:
        return await self._engine.healthy()
