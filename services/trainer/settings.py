"""What the service, its worker and its training processes read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from askback.contracts.client import api_key_in


@dataclass(frozen=True)
class Settings:
    runs: Path
    """Folder of the runs; datasets and adapters are relative to `runs/<run_id>/`."""
    jobs: Path
    """Folder of the job folders; on the same host or volume for the service and its worker."""
    base_model: str
    """Folder or hub name of the base model, written into every adapter as it stands here."""
    redis_url: str
    gpu_lock: Path | None = None
    """Lock file of the card that is shared with the student's engine; None where it is not shared."""
    student_url: str = "http://127.0.0.1:8002"
    """Whom to ask to put the engine to sleep, with `api_key`."""
    api_key: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """RUNS_DIR, JOBS_DIR, ASKBACK_HOME, BASE_MODEL, REDIS_URL, GPU_LOCK, STUDENT_URL and ASKBACK_API_KEY with their defaults."""
        home = Path(environment.get("ASKBACK_HOME") or "var")
        return cls(
            runs=Path(environment.get("RUNS_DIR") or "runs"),
            jobs=Path(environment.get("JOBS_DIR") or home / "jobs"),
            base_model=environment.get("BASE_MODEL", ""),
            redis_url=environment.get("REDIS_URL") or "redis://127.0.0.1:6379/0",
            gpu_lock=Path(environment["GPU_LOCK"]) if environment.get("GPU_LOCK") else None,
            student_url=environment.get("STUDENT_URL") or "http://127.0.0.1:8002",
            api_key=api_key_in(environment),
        )
