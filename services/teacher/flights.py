"""Single flight: identical calls under way are made once."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from askback.contracts.errors import ServiceError

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Flights(Generic[T]):
    """Calls under way by key. A call outlives the callers that wait for it, so that what was paid for is still kept."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def run(self, key: str, call: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """(result, joined): the result of `call()`, or of the call with this key that is already under way."""
        task = self._tasks.get(key)
        joined = task is not None
        if task is None:
            task = asyncio.create_task(call(), name=f"flight {key[:12]}")
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(task), joined

    async def settle(self, timeout_s: float) -> int:
        """Wait for the calls under way; returns how many were still not done."""
        tasks = list(self._tasks.values())
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=timeout_s)
        return len(pending)

    def _land(self, key: str, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if task.cancelled():
            return
        error = task.exception()  # every caller may have hung up, so the failure is told here too
        if error is not None:
            logger.warning("%s failed: %s", task.get_name(), error, exc_info=None if isinstance(error, ServiceError) else error)
