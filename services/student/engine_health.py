"""Whether the engine can be asked: ready, loading, asleep or dead."""

import asyncio
import logging
import time
from collections.abc import Callable

from askback.contracts.errors import UpstreamUnavailable
from services.student.engine_link import EngineLink

_EVERY_S = 1.0
_PATIENCE_S = 5.0  # for an engine whose event loop is busy
_LOADING_S, _DEAD_S = 5.0, 2.0  # after which a refused caller may come back
logger = logging.getLogger(__name__)


def awake() -> str:
    """The answer of an engine that never sleeps."""
    return ""


class EngineHealth:
    """Follows the engine's /health. Until its first answer, the engine counts as loading for `start_s` seconds."""

    def __init__(self, engine: EngineLink, start_s: float, asleep: Callable[[], str] = awake, now: Callable[[], float] = time.monotonic) -> None:
        """`asleep()` is a text such as "the engine is asleep while job 7 trains", empty while the engine is awake."""
        self._engine, self._start_s, self._asleep, self._now = engine, start_s, asleep, now
        self._since = now()
        self._answered: float | None = None
        self._up = False

    @property
    def up(self) -> bool:
        """Whether the last look found the engine answering."""
        return self._up

    def trouble(self) -> str:
        """Why the engine cannot be asked, as of the last look; empty when it can."""
        if self._up:
            return self._asleep()
        now = self._now()
        if self._answered is not None:
            return f"the engine is dead: it answered until {now - self._answered:.0f} s ago"
        if now - self._since <= self._start_s:
            return f"the engine is loading ({now - self._since:.0f} s of at most {self._start_s:.0f})"
        return f"the engine is dead: it has not answered within {self._start_s:.0f} s"

    async def ready(self) -> str:
        """`trouble` after a new look."""
        await self.look()
        return self.trouble()

    async def look(self) -> None:
        """Ask the engine's /health."""
        try:
            async with asyncio.timeout(_PATIENCE_S), self._engine.send("GET", "/health") as answer:
                await answer.read()
                up = answer.status == 200
        except (UpstreamUnavailable, TimeoutError):
            up = False
        changed, self._up = up is not self._up, up
        if up:
            self._answered = self._now()
        if changed:
            logger.log(logging.INFO if up else logging.WARNING, "the engine answers" if up else self.trouble())

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    def explained(self, error: UpstreamUnavailable) -> UpstreamUnavailable:
        """`error` of a call to the engine, in terms of what is known of the engine."""
        if self._up or error.status != UpstreamUnavailable.status:
            return error
        told = UpstreamUnavailable(self.trouble())
        told.retry_after_s = error.retry_after_s or (_DEAD_S if self._answered is not None else _LOADING_S)
        return told
