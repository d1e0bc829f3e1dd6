import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trainer_rows import Writer
from trainer_stack import redis

from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.records.jobs import JobStore
from services.trainer.records.redis_jobs import RedisJobs
from services.trainer.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    runs = tmp_path / "runs"
    (runs / "r1" / "tracks").mkdir(parents=True)
    (runs / "r2").mkdir()
    return Settings(runs=runs, jobs=tmp_path / "jobs", base_model="/models/base", redis_url="redis://127.0.0.1:1/0")


@pytest.fixture
def write_rows(settings: Settings) -> Writer:
    """Writes rows (or raw lines) into run r1 and returns the path relative to it."""

    def write(rows: list[Any], name: str = "tracks/a.jsonl") -> str:
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (settings.runs / "r1" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return name

    return write


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A redis-server for all tests that keep no keys in common."""
    with redis() as url:
        yield url


@pytest.fixture(params=["folder", "redis"])
def store(request: pytest.FixtureRequest, settings: Settings) -> JobStore:
    """Each kind of store in turn, empty; Redis's leases last half a second."""
    if request.param == "folder":
        return FolderJobs(settings.jobs)
    return RedisJobs(request.getfixturevalue("redis_url"), settings.jobs, prefix=f"{settings.jobs.parent.name}:", lease_s=0.5)
