"""Wait out a service that cannot be reached for a moment, such as one that is being upgraded."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from askback.contracts.errors import UpstreamUnavailable

Result = TypeVar("Result")

_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0, *(15.0,) * 19)  # five minutes in all: an engine with a large model takes two to start again


async def patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    """`call()`, again after each UpstreamUnavailable for about five minutes; all our calls may be repeated safely."""
    for delay in _DELAYS_S:
        try:
            return await call()
        except UpstreamUnavailable:
            await asyncio.sleep(delay)
    return await call()
