import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.trainer.__main__ import base_model_missing
from services.trainer.settings import Settings, StoreKind


def test_a_base_model_is_a_folder_with_a_config_or_a_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert base_model_missing("") == "BASE_MODEL is not set"
    assert base_model_missing("org/model") == ""
    (tmp_path / "var" / "base").mkdir(parents=True)
    for path in ("var/base", str(tmp_path / "var" / "base"), "./x/y", "base"):
        assert "base model not found" in base_model_missing(path)
    (tmp_path / "var" / "base" / "config.json").touch()
    assert base_model_missing("var/base") == base_model_missing(str(tmp_path / "var" / "base")) == ""


def test_settings_have_the_documented_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings(Path("runs"), Path("var/jobs"), "", "redis://127.0.0.1:6379/0")
    assert Settings.from_environment({"ASKBACK_HOME": "/h", "JOBS_DIR": ""}).jobs == Path("/h/jobs")


def test_runs_behind_a_url_and_jobs_in_redis_are_set_by_name() -> None:
    settings = Settings.from_environment({"RUNS_DIR": "s3://bucket/runs", "JOBS_DIR": "/j", "JOB_STORE": "redis", "QUEUE_PREFIX": "two:"})
    assert (settings.runs_url, settings.runs, settings.jobs) == ("s3://bucket/runs", Path("/j/.inputs"), Path("/j"))
    assert (settings.job_store, settings.queue_prefix) == (StoreKind.REDIS, "two:")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("JOB_STORE", "postgres", "JOB_STORE: 'postgres' is unknown; use folder or redis"),
        ("ASKBACK_REPLAY", "no", "ASKBACK_REPLAY: 'no' must be 0 or 1"),
        ("QUEUE_PREFIX", "a b", "QUEUE_PREFIX: 'a b' must be"),
        ("GPU_MEMORY_GB", "all", "GPU_MEMORY_GB: 'all' must be a number above 0"),
        ("RUNS_DIR", "nope://bucket", "RUNS_DIR: nope:// cannot be used"),
    ],
)
@pytest.mark.parametrize("command", [["-m", "services.trainer"], ["-m", "celery", "-A", "services.trainer.tasks", "worker"]])
def test_a_setting_that_cannot_be_ends_service_and_worker_with_one_line(name: str, value: str, complaint: str, command: list[str]) -> None:
    ended = subprocess.run([sys.executable, *command], env={**os.environ, name: value}, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n"), ended.stderr.startswith(complaint)) == (2, 1, True), ended.stderr
