"""Sleep and wake of vLLM's server, which needs --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1."""

from typing import Any, Protocol

import httpx

from askback.contracts.errors import UpstreamUnavailable

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
    """Asks the server at `http`'s base URL."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def is_sleeping(self) -> bool:
        answer = await self._ask("GET", "/is_sleeping", _QUICK_S)
        try:
            return bool(answer.json()["is_sleeping"])
        except (ValueError, KeyError, TypeError) as error:
            raise UpstreamUnavailable(f"the engine at {self._http.base_url} does not say whether it sleeps: {answer.text[:100]!r}") from error

    async def sleep(self) -> None:
        await self._ask("POST", "/sleep", _LONG_S, level=1)  # level 2 would lose the adapters

    async def wake(self) -> None:
        await self._ask("POST", "/wake_up", _LONG_S)

    async def _ask(self, verb: str, path: str, timeout_s: float, **query: Any) -> httpx.Response:
        try:
            answer = await self._http.request(verb, path, params=query, timeout=timeout_s)
        except httpx.HTTPError as error:
            raise UpstreamUnavailable(f"the engine at {self._http.base_url} cannot be reached: {error or type(error).__name__}") from error
        if answer.status_code == 404:
            raise UpstreamUnavailable(f"the engine has no route {path}; start it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1")
        if answer.is_error:
            raise UpstreamUnavailable(f"the engine answered {path} with {answer.status_code}: {answer.text[:200]}")
        return answer
