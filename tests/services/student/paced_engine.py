"""A scripted engine that takes its time, and can be asleep."""

import asyncio
from collections.abc import Sequence

from scripted_engine import ScriptedEngine

from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.records import Message
from services.student.engine import Generation, Sampling


class PacedEngine(ScriptedEngine):
    """Surer once it has read answers; adapters differ in what they say."""

    def __init__(self) -> None:
        super().__init__(p_yes=lambda model, text: (0.83 if "river" in text else 0.42) - (0.2 if model == "direct" else 0))
        self.delay_s = 0.0
        self.asleep: float | None = None
        """Seconds after which the engine says that it may be awake."""

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        await asyncio.sleep(self.delay_s)
        if self.asleep is not None:
            error = UpstreamUnavailable("the engine is asleep while a job trains")
            error.retry_after_s = self.asleep
            raise error
        return await super().generate(model, messages, sampling)

    async def healthy(self) -> bool:
        return self.asleep is None
