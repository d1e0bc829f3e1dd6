"""What the service, its worker and its training processes read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    runs: Path
    """Folder of the runs; datasets and adapters are relative to `runs/<run_id>/`."""
    jobs: Path
    """Folder of the job folders; on the same host or volume for the service and its worker."""
    base_model: str
    """Folder or hub name of the base model, written into every adapter as it stands here."""
    redis_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """RUNS_DIR, JOBS_DIR, ASKBACK_HOME, BASE_MODEL and REDIS_URL with their defaults."""
        home = Path(environment.get("ASKBACK_HOME") or "var")
        return cls(
            runs=Path(environment.get("RUNS_DIR") or "runs"),
            jobs=Path(environment.get("JOBS_DIR") or home / "jobs"),
            base_model=environment.get("BASE_MODEL", ""),
            redis_url=environment.get("REDIS_URL") or "redis://127.0.0.1:6379/0",
        )
