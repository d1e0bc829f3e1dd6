"""One card for the student's engine and the trainings: a training takes it when the engine sleeps, and gives it back by its end.

The worker opens the lock file and its child, the training process, locks it. The lock is free once both have closed it, which the worker
does when the child is gone and its memory with it. docs/student.md tells the whole protocol.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from askback.contracts.client import StudentClient
from askback.contracts.errors import ServiceError, UpstreamUnavailable
from askback.contracts.gpu_lock import EngineNote, GpuLock, Note
from askback.contracts.student import Adapter, EnginePhase, EngineStatus, SleepRequest, WakeRequest
from askback.contracts.trainer import Job, JobState
from services.trainer.rows.dataset import digest
from services.trainer.settings import Settings
from services.trainer.storage.workspace import WEIGHTS, runs_at

log = logging.getLogger(__name__)

DESCRIPTOR = "ASKBACK_GPU_LOCK_FD"
_SLEEP_CALL_S = 240.0  # requests under way finish first, and the weights take their time
_CALL_S = 15.0
_TRY_S = 5.0  # for the lock, before the student is asked again: it may have taken its turn meanwhile
_LOOK_EVERY_S = 0.1
_PAUSE_S = 1.0


class StudentLine:
    """The student's side of the turn, called from code that is not asynchronous."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self._url, self._key = url, api_key

    def sleep(self, holder: str) -> EngineStatus:
        return self._call("POST", "/v1/engine/sleep", SleepRequest(holder=holder), _SLEEP_CALL_S)

    def status(self) -> EngineStatus:
        return self._call("GET", "/v1/engine", None, _CALL_S)

    def wake(self, adapter: Adapter | None) -> EngineStatus:
        return self._call("POST", "/v1/engine/wake", WakeRequest(adapter=adapter), _CALL_S)

    def _call(self, verb: str, path: str, body: SleepRequest | WakeRequest | None, timeout_s: float) -> EngineStatus:
        async def call() -> EngineStatus:
            async with StudentClient.at(self._url, timeout_s, self._key) as student:
                return await student.call(verb, path, EngineStatus, body)

        return asyncio.run(call())


def take_card(lock: GpuLock, student: StudentLine, holder: str, say: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> None:
    """Return once this process has the card and the student has confirmed, after that, that its engine sleeps.

    Waits for as long as it takes and says what for; raises ServiceError where waiting cannot help, such as for a student that shares no card.
    """
    while True:
        try:
            asked = student.sleep(holder)
            if asked.phase is not EnginePhase.ASLEEP:
                raise UpstreamUnavailable(asked.detail or f"the engine is {asked.phase}")
            if not _locked(lock, pause):
                raise UpstreamUnavailable(f"{lock.read().holder or 'another process'} has it")
            if _confirmed(lock, student):
                lock.write(Note(engine=EngineNote.ASLEEP, holder=holder))
                return
            raise UpstreamUnavailable("the engine woke up meanwhile")
        except UpstreamUnavailable as error:
            lock.release()
            say(f"waiting for the GPU: {error}")
            pause(_PAUSE_S)


def _locked(lock: GpuLock, pause: Callable[[float], None]) -> bool:
    for _ in range(round(_TRY_S / _LOOK_EVERY_S)):
        if lock.take():
            return True
        pause(_LOOK_EVERY_S)
    return False


def _confirmed(lock: GpuLock, student: StudentLine) -> bool:
    """Whether the engine sleeps and nobody can be waking it: the lock is ours, and its last holder left no wake under way."""
    return lock.read().engine is EngineNote.ASLEEP and student.status().phase is EnginePhase.ASLEEP


@contextmanager
def lent_lock(path: Path | None) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """(variables, descriptors) that a child needs to lock the card; closed at the end of the block. Both empty without a `path`."""
    if path is None:
        yield {}, ()
        return
    lock = GpuLock.at(path)
    try:
        yield {DESCRIPTOR: str(lock.descriptor)}, (lock.descriptor,)
    finally:
        lock.close()


def take_turn(settings: Settings, job: Job, say: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> None:
    """In the training process, before it touches the card: have it, where it is shared. Its end gives the card back."""
    if settings.gpu_lock is None:
        return
    given = environment.get(DESCRIPTOR)
    lock = GpuLock(int(given)) if given else GpuLock.at(settings.gpu_lock)
    os.set_inheritable(lock.descriptor, False)  # or a process that outlives the training would keep the card
    take_card(lock, StudentLine(settings.student_url, settings.api_key), f"job {job.id}", say)


def give_turn_back(settings: Settings, job: Job) -> None:
    """After the training process is gone: tell the student, which would find the card free by itself, and what to serve."""
    if settings.gpu_lock is None:
        return
    try:
        adapter = _served(settings, job) if job.state is JobState.DONE else None
        StudentLine(settings.student_url, settings.api_key).wake(adapter)
    except (ServiceError, OSError) as error:
        log.warning("the student was not told that job %s is over: %s", job.id, error)


def _served(settings: Settings, job: Job) -> Adapter:
    """The job's adapter under the name by which the loop asks for it, which is unique to its weights."""
    run, name = job.request.run_id, job.request.name
    weights = runs_at(settings).file("adapter", run, f"{job.adapter}/{WEIGHTS}")
    return Adapter(name=f"{run}-{name}-{digest(weights)[:6]}", path=f"{run}/{job.adapter}")
