"""What the service, its worker and its training processes read from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.service_client import api_key_in


class StoreKind(StrEnum):
    """Where the jobs' records lie."""

    FOLDER = "folder"
    """In `jobs`, which the service and its workers share."""
    REDIS = "redis"
    """In Redis; `jobs` is each machine's own."""


@dataclass(frozen=True)
class Settings:
    runs: Path
    """Folder of the runs; datasets and adapters are relative to `runs/<run_id>/`. With `runs_url`, copies of what was read from there."""
    jobs: Path
    """Folder of the job folders; on the same host or volume for the service and its workers, unless the jobs are in Redis."""
    base_model: str
    """Folder or hub name of the base model, written into every adapter as it stands here."""
    redis_url: str
    gpu_lock: Path | None = None
    """Lock file of the card that is shared with the student's engine; None where it is not shared."""
    student_url: str = "http://127.0.0.1:8002"
    """Whom to ask to put the engine to sleep, with `api_key`."""
    api_key: str = ""
    gpu_memory_gb: float | None = None
    """Most of the card's memory that a training may take, in units of 10⁹ bytes; None for all that is free."""
    runs_url: str = ""
    """Where the runs lie, such as `s3://bucket/runs`; empty when they lie in `runs`."""
    job_store: StoreKind = StoreKind.FOLDER
    queue_prefix: str = "askback:"
    """Before every key in Redis, the queue's too, so that several installations can share one."""
    replay: bool = True
    """Whether a fitted training on a GPU may record its passes and replay them."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """RUNS_DIR, JOBS_DIR, ASKBACK_HOME, BASE_MODEL, REDIS_URL, JOB_STORE, QUEUE_PREFIX, GPU_LOCK, GPU_MEMORY_GB, STUDENT_URL, ASKBACK_API_KEY,
        ASKBACK_REPLAY.

        Each has a default; raises InvalidInput for a JOB_STORE, QUEUE_PREFIX, GPU_MEMORY_GB or ASKBACK_REPLAY that cannot be.
        """
        home = Path(environment.get("ASKBACK_HOME") or "var")
        jobs = Path(environment.get("JOBS_DIR") or home / "jobs")
        runs = environment.get("RUNS_DIR") or "runs"
        at_url = "://" in runs
        return cls(
            runs=jobs / ".inputs" if at_url else Path(runs),
            jobs=jobs,
            base_model=environment.get("BASE_MODEL", ""),
            redis_url=environment.get("REDIS_URL") or "redis://127.0.0.1:6379/0",
            gpu_lock=Path(environment["GPU_LOCK"]) if environment.get("GPU_LOCK") else None,
            student_url=environment.get("STUDENT_URL") or "http://127.0.0.1:8002",
            api_key=api_key_in(environment),
            gpu_memory_gb=_positive("GPU_MEMORY_GB", environment.get("GPU_MEMORY_GB", "")),
            runs_url=runs if at_url else "",
            job_store=_store_kind(environment.get("JOB_STORE") or "folder"),
            queue_prefix=_prefix(environment.get("QUEUE_PREFIX") or "askback:"),
            replay=_switch("ASKBACK_REPLAY", environment.get("ASKBACK_REPLAY") or "1"),
        )


def _store_kind(text: str) -> StoreKind:
    try:
        return StoreKind(text)
    except ValueError:
        raise InvalidInput(f"JOB_STORE: {text!r} is unknown; use {' or '.join(StoreKind)}") from None


def _switch(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise InvalidInput(f"{name}: {text!r} must be 0 or 1")
    return text == "1"


def _positive(name: str, text: str) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text, re.ASCII) or float(text) <= 0:
        raise InvalidInput(f"{name}: {text!r} must be a number above 0, such as 8")
    return float(text)


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[\w.:-]{1,64}", text, re.ASCII):
        raise InvalidInput(f"QUEUE_PREFIX: {text!r} must be 1 to 64 letters, digits and . : _ -, such as askback:")
    return text
