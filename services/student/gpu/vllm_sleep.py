"""Sleep and wake of vLLM's server, which needs --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1."""

import asyncio
import json
from typing import Protocol

from askback.contracts.errors import UpstreamUnavailable
from services.student.engine_link import EngineLink

_QUICK_S = 5.0
_LONG_S = 120.0  # 70 GiB took 15 s to leave a card


class SleepingEngine(Protocol):
    """An engine that can give its card's memory back. All methods raise UpstreamUnavailable where they cannot tell."""

    async def is_sleeping(self) -> bool: ...

    async def sleep(self) -> None:
        """Move the weights to the host's memory and drop the cache; adapters stay known."""
        ...

    async def wake(self) -> None: ...


class VllmSleep:
    """Asks the server at the other end of `link`."""

    def __init__(self, link: EngineLink) -> None:
        self._link = link

    async def is_sleeping(self) -> bool:
        body = await self._ask("GET", "/is_sleeping", _QUICK_S)
        try:
            return bool(json.loads(body)["is_sleeping"])
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamUnavailable(f"the engine at {self._link.url} does not say whether it sleeps: {body[:100]!r}") from error

    async def sleep(self) -> None:
        await self._ask("POST", "/sleep?level=1", _LONG_S)  # level 2 would lose the adapters

    async def wake(self) -> None:
        await self._ask("POST", "/wake_up", _LONG_S)

    async def _ask(self, verb: str, target: str, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s), self._link.send(verb, target) as answer:
                body = await answer.read()
        except TimeoutError as error:
            raise UpstreamUnavailable(f"the engine at {self._link.url} did not answer {target} within {timeout_s:.0f} s") from error
        if answer.status == 404:
            raise UpstreamUnavailable(f"the engine has no route {target}; start it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1")
        if answer.status >= 400:
            raise UpstreamUnavailable(f"the engine answered {target} with {answer.status}: {body[:200].decode(errors='replace')}")
        return body
