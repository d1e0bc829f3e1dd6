"""Whose turn the card is: the student's, while its engine is awake, or a training's.

The student holds the lock of the card while its engine may be awake, wakes it under the lock alone, and gives the lock back only when the
engine has said that it sleeps. docs/student.md tells the whole protocol.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from askback.contracts.errors import ServiceError, UpstreamUnavailable
from askback.contracts.gpu_lock import EngineNote, GpuLock, Note
from askback.contracts.student import Adapter, EnginePhase, EngineStatus
from services.student.gpu.gate import Gate
from services.student.gpu.vllm_sleep import SleepingEngine

log = logging.getLogger(__name__)

_ME = "the student"


@dataclass(frozen=True)
class Times:
    """Seconds."""

    look_every_s: float = 0.5
    drain_s: float = 30.0
    """What requests under way have to finish before the engine sleeps."""
    grace_s: float = 30.0
    """For so long the lock is left free for whoever asked for it."""
    settle_s: float = 1.0
    """From the lock's being free until its last holder's memory surely is, also after a kill."""


class GpuTurn:
    """Holds and gives back the card. `prepare(adapter)` makes the engine ready to serve, with `adapter` if there is one."""

    def __init__(
        self,
        lock: GpuLock,
        engine: SleepingEngine,
        gate: Gate,
        prepare: Callable[[Adapter | None], Awaitable[None]],
        times: Times | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock, self._engine, self._gate, self._prepare, self._clock = lock, engine, gate, prepare, clock
        self._times = times or Times()
        self._changing = asyncio.Lock()
        self._kicked = asyncio.Event()
        self._phase = EnginePhase.WAITING
        self._detail = ""
        self._left_until = 0.0
        self._wanted: list[Adapter] = []

    def missing(self) -> str:
        """What a readiness check says; empty while the engine is served."""
        return self._gate.missing()

    async def status(self) -> EngineStatus:
        """The turn as it stands. ASLEEP is said only where the engine says so at this moment."""
        phase, detail = self._phase, self._detail
        if not self._lock.held:
            try:
                phase = EnginePhase.ASLEEP if await self._engine.is_sleeping() else EnginePhase.WAITING
                detail = detail if phase is EnginePhase.ASLEEP else "the engine is awake though the student has not got the card"
            except UpstreamUnavailable as error:
                phase, detail = EnginePhase.WAITING, str(error)
        if self._lock.held and phase is EnginePhase.ASLEEP:  # it was taken while the engine was asked
            phase = self._phase
        return EngineStatus(shared=True, phase=phase, holder="" if self._lock.held else self._lock.read().holder, detail=detail)

    async def sleep(self, holder: str) -> EngineStatus:
        """Put the engine to sleep and leave the card to `holder`; returns once the engine has said that it sleeps.

        Raises UpstreamUnavailable where that cannot be had: the engine does not answer, or another student has the card.
        """
        async with self._changing:
            if not self._lock.take() and self._lock.read().engine is EngineNote.UP:
                raise UpstreamUnavailable("another student service has the card; stop one of the two")
            try:
                self._phase = EnginePhase.DRAINING
                await self._gate.shut(_asleep_for(holder), self._times.drain_s)
                await self._send_to_sleep()
            except ServiceError as error:
                self._detail = self._gate.why = str(error)
                raise
            self._phase, self._detail = EnginePhase.ASLEEP, ""
            self._left_until = self._clock() + self._times.grace_s
            if self._lock.held:
                self._lock.write(Note(engine=EngineNote.ASLEEP, holder=holder))
                self._lock.release()
            log.info("the engine sleeps; the card is left to %s", holder)
        return await self.status()

    def wake(self, adapter: Adapter | None = None) -> None:
        """The card is free: take it and wake the engine now, with `adapter` besides those that it knows."""
        self._left_until = 0.0
        if adapter is not None and adapter not in self._wanted:
            self._wanted.append(adapter)
        self._kicked.set()

    async def watch(self) -> None:
        """Look after the turn until cancelled."""
        while True:
            self._kicked.clear()
            try:
                await self.step()
            except ServiceError as error:
                if str(error) != self._detail:
                    log.warning("the engine's turn: %s", error)
                self._detail = str(error)
                if self._lock.held and not self._gate.is_open:
                    self._gate.why = self._detail
            with suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), self._times.look_every_s)

    async def step(self) -> None:
        """Do what the turn asks for now; raises ServiceError where the engine did not follow."""
        async with self._changing:
            if not self._lock.held and not self._may_take():
                await self._stay_asleep()
                return
            await self._be_awake()

    def _may_take(self) -> bool:
        if not self._lock.is_free():
            self._left_until = 0.0  # whoever the card was left to has taken it, so it is ours once it is free again
            return False
        return self._clock() >= self._left_until and self._lock.take()

    async def _stay_asleep(self) -> None:
        note = self._lock.read()
        if note.engine is EngineNote.UP:
            self._gate.is_open, self._gate.why = False, "another student service has the card"
            return
        self._gate.is_open, self._gate.why = False, _asleep_for(note.holder or "another process")
        await self._send_to_sleep()  # an engine that was started again comes up awake
        self._phase, self._detail = EnginePhase.ASLEEP, ""

    async def _send_to_sleep(self) -> None:
        if not await self._engine.is_sleeping():
            await self._engine.sleep()
            if not await self._engine.is_sleeping():
                raise UpstreamUnavailable("the engine was sent to sleep and stayed awake")

    async def _be_awake(self) -> None:
        note = self._lock.read()
        if note.engine is not EngineNote.UP or note.holder != _ME:
            self._lock.write(Note(engine=EngineNote.UP, holder=_ME))  # before the first call that may wake it
            if note.engine is EngineNote.ASLEEP:
                await asyncio.sleep(self._times.settle_s)
        if await self._engine.is_sleeping():
            self._phase, self._gate.is_open, self._gate.why = EnginePhase.WAKING, False, "the engine is waking up"
            await self._engine.wake()
            if await self._engine.is_sleeping():
                raise UpstreamUnavailable("the engine was woken and still sleeps")
        if not self._gate.is_open or self._wanted:
            await self._serve()
        self._phase, self._detail = EnginePhase.AWAKE, ""

    async def _serve(self) -> None:
        async with self._gate.opening():
            wanted, self._wanted = self._wanted, []
            for adapter in [*wanted, None]:
                try:
                    await self._prepare(adapter)
                except ServiceError as error:  # the engine serves without it, and its owner is told when he asks for it
                    log.warning("adapter %s was not loaded: %s", adapter.name if adapter else "of the default", error)
        log.info("the engine is awake and serves")


def _asleep_for(holder: str) -> str:
    return f"the engine is asleep while {holder} trains"
