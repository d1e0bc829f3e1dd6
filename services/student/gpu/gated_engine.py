"""An engine behind the gate: whoever calls it while it sleeps gets EngineAsleep, and is not lost in it."""

from collections.abc import Sequence

from askback.contracts.records import Message
from services.student.engine import Engine, Generation, Sampling
from services.student.gpu.gate import Gate


class GatedEngine:
    """`engine` for those whom `gate` lets through."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        async with self._gate.admitted():
            return await self._engine.generate(model, messages, sampling)

    async def load(self, name: str, path: str) -> None:
        async with self._gate.admitted():
            await self._engine.load(name, path)

    async def unload(self, name: str) -> None:
        async with self._gate.admitted():
            await self._engine.unload(name)

    async def healthy(self) -> bool:
        return await self._engine.healthy()
