"""Run one job as its own process: what a process holds, VRAM above all, is free again when it ends."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.trainer import Job, JobState
from services.trainer.core import LOCK_WAIT_S, OPEN, cancelled
from services.trainer.failure import failed
from services.trainer.learning.out_of_memory import next_smaller
from services.trainer.processes.gpu_turn import lent_lock
from services.trainer.records.jobs import JobStore, LockLost

log = logging.getLogger(__name__)

PARENT = "ASKBACK_TRAINER_PARENT"
POLL_S = 0.3
GRACE_S = 5.0
STARTING_S = 30.0
"""Seconds that a child may take until it holds the job's lock; else recovery looks for another worker."""
LOCK_LOST = 75
"""Exit code of a training that lost its lock: the job is another's by now, or for recovery to find."""
_PR_SET_PDEATHSIG = 1


class Shutdown(Protocol):
    """Whether the worker was asked to end. A plain attribute, since a signal handler sets it."""

    requested: bool


def supervise(store: JobStore, job_id: str, shutdown: Shutdown, module: str = "services.trainer.processes.job", gpu_lock: Path | None = None) -> bool:
    """Train the job in a child process and settle what it leaves; False, with nothing done, for a job that is over or runs elsewhere.

    The child may lock the card with `gpu_lock`, whose descriptor is closed here once the child and what it held of the card are gone.
    """
    if not _begun(store, job_id):
        return False
    train_log = store.folder(job_id) / "train.log"
    train_log.parent.mkdir(parents=True, exist_ok=True)
    with train_log.open("ab") as stream, lent_lock(gpu_lock) as (variables, descriptors):
        child = subprocess.Popen(  # noqa: S603 - the id has been checked, and there is no shell
            [sys.executable, "-m", module, job_id],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, PARENT: str(os.getpid()), **variables},
            pass_fds=descriptors,
        )
        try:
            while child.poll() is None and not shutdown.requested and not _is_cancelled(store, job_id):
                time.sleep(POLL_S)
        finally:
            ended = child.poll() is not None
            end_child(child)
    _settle(store, job_id, child.returncode if ended else None, train_log)
    return True


def _begun(store: JobStore, job_id: str) -> bool:
    """Have the job's message believed in no longer than its child takes to start; False when there is nothing to train here."""
    with store.lock(job_id, LOCK_WAIT_S) as free:
        job = store.read(job_id)
        if not free or job.state not in OPEN:
            return False
        store.mark_enqueued(job_id, STARTING_S)
        if store.is_cancelled(job_id):
            cancelled(store, job)
            return False
        return True


def _is_cancelled(store: JobStore, job_id: str) -> bool:
    try:
        return store.is_cancelled(job_id)
    except UpstreamUnavailable as error:  # the training goes on for as long as it has its lock
        log.warning("%s", error)
        return False


def end_child(child: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """Ask a child that still runs to end, and end it when it has not after `grace_s` seconds."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _settle(store: JobStore, job_id: str, code: int | None, train_log: Path) -> None:
    """Write the end that the child could not; `code` is None when it was ended from here."""
    was_killed = code is None or code < 0
    wait_s = LOCK_WAIT_S + (store.outlives_s if was_killed else 0)
    with suppress(LockLost), store.lock(job_id, wait_s) as free:
        if not free or code == LOCK_LOST:
            return
        store.clear_starts(job_id)
        job = store.read(job_id)
        if job.state in OPEN:
            if store.is_cancelled(job_id):
                cancelled(store, job)
            elif code is None:
                store.clear_enqueued(job_id)
                store.write(job.model_copy(update={"state": JobState.QUEUED}))  # the next worker goes on from its last checkpoint
            elif code != 0:
                store.write(failed(job, "ServiceError", _cause(code, train_log, job)))
        store.clear_cancel(job_id)


def _cause(code: int, log: Path, job: Job) -> str:
    if code < 0:
        hint = f"; out of memory? {next_smaller(job.request.recipe, job.fit)}" if code == -signal.SIGKILL else ""
        return f"the training process was killed by signal {-code} ({signal.Signals(-code).name}){hint}"
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 4096))
        lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    return f"the training process ended with code {code}: {lines[-1] if lines else 'it logged nothing'}"


def die_with_parent() -> None:
    """Ask Linux to kill this process when the worker that started it dies; ends it when that has happened already."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        raise SystemExit("the worker died before the training began")
