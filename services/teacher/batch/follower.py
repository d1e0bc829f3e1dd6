"""Follows batches to their end: one task for each, which steps, waits and backs off."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from askback.contracts.errors import ServiceError
from services.teacher.batch.jobs import BatchJob
from services.teacher.batch.runner import BatchRunner
from services.teacher.batch.upstream import BatchOffer

_LONGEST_PAUSE_S = 600.0
_DOUBLINGS = 10
logger = logging.getLogger(__name__)


@dataclass
class _Followed:
    task: asyncio.Task[None] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class BatchFollower:
    """The tasks of all batches that are not over. For use on one event loop."""

    def __init__(self, read: Callable[[str], BatchJob], runner: BatchRunner, offers: Mapping[str, BatchOffer], poll_s: float) -> None:
        """`read` returns a batch by its id. An upstream is asked every `poll_s`, after failures less often."""
        self._read, self._runner, self._offers, self._poll_s = read, runner, offers, poll_s
        self._followed: dict[str, _Followed] = {}
        self.problems: dict[str, str] = {}
        """What keeps a batch from going on, by its id."""

    def follow(self, identifier: str) -> None:
        """Go on with a batch until it is over."""
        followed = self._followed[identifier] = _Followed()
        followed.task = asyncio.create_task(self._run(identifier, followed.wake), name=f"batch {identifier}")

    def wake(self, identifier: str) -> bool:
        """Look at a batch now; False when it is not followed."""
        followed = self._followed.get(identifier)
        if followed is not None:
            followed.wake.set()
        return followed is not None

    async def close(self) -> None:
        """Stop wherever the batches are."""
        tasks = [followed.task for followed in self._followed.values() if followed.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, identifier: str, wake: asyncio.Event) -> None:
        failures = 0
        pause: float | None = 0.0
        while pause is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()
            wake.clear()
            try:
                pause, failures = await self._step(identifier), 0
                self.problems.pop(identifier, None)
            except Exception as error:
                failures += 1
                pause = self._after(failures, error)
                known = isinstance(error, ServiceError)
                self.problems[identifier] = str(error) if known else "the teacher failed; its log says why"
                logger.warning("batch %s: %s; trying again in %.0f s", identifier, error, pause, exc_info=not known)
        del self._followed[identifier]

    async def _step(self, identifier: str) -> float | None:
        """Seconds until the next step, None after the last."""
        job = self._read(identifier)
        if job.step == "done":
            return None
        moved = await self._runner.step(job, self._offers[job.backend])
        return 0.0 if moved else self._poll_s

    def _after(self, failures: int, error: Exception) -> float:
        """Seconds to wait after so many failures in a row."""
        told = error.retry_after_s if isinstance(error, ServiceError) else None
        return max(told or 0.0, min(self._poll_s * 2.0 ** min(failures, _DOUBLINGS), _LONGEST_PAUSE_S))
