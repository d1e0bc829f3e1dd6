"""Run one job as its own process: what a process holds, VRAM above all, is free again when it ends."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from askback.contracts.trainer import JobState
from services.trainer.core import failed
from services.trainer.gpu_turn import lent_lock
from services.trainer.jobs import JobStore

PARENT = "ASKBACK_TRAINER_PARENT"
POLL_S = 0.3
GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


class Shutdown(Protocol):
    """Whether the worker was asked to end. A plain attribute, since a signal handler sets it."""

    requested: bool


def supervise(store: JobStore, job_id: str, shutdown: Shutdown, module: str = "services.trainer.job", gpu_lock: Path | None = None) -> bool:
    """Train the job in a child process and settle what it leaves; False, with nothing done, for a job that is over or runs elsewhere.

    The child may lock the card with `gpu_lock`, whose descriptor is closed here once the child and what it held of the card are gone.
    """
    if store.read(job_id).state not in (JobState.QUEUED, JobState.RUNNING) or store.is_live(job_id):
        return False
    log = store.folder(job_id) / "train.log"
    with log.open("ab") as stream, lent_lock(gpu_lock) as (variables, descriptors):
        child = subprocess.Popen(  # noqa: S603 - the id has been checked, and there is no shell
            [sys.executable, "-m", module, job_id],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, PARENT: str(os.getpid()), **variables},
            pass_fds=descriptors,
        )
        try:
            while child.poll() is None and not shutdown.requested and not store.cancel_flag(job_id).exists():
                time.sleep(POLL_S)
        finally:
            ended = child.poll() is not None
            _end(child)
    _settle(store, job_id, child.returncode if ended else None, log)
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _settle(store: JobStore, job_id: str, code: int | None, log: Path) -> None:
    """Write the end that the child could not; `code` is None when it was ended from here."""
    store.clear_starts(job_id)
    job = store.read(job_id)
    flag = store.cancel_flag(job_id)
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        if flag.exists():
            store.write(failed(job, "ServiceError", "cancelled"))
        elif code is None:
            store.write(job.model_copy(update={"state": JobState.QUEUED}))  # the next worker goes on from its last checkpoint
        elif code != 0:
            store.write(failed(job, "ServiceError", _cause(code, log)))
    flag.unlink(missing_ok=True)


def _cause(code: int, log: Path) -> str:
    if code < 0:
        hint = "; out of memory? use a smaller batch_size, gradient_checkpointing or four_bit" if code == -signal.SIGKILL else ""
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
