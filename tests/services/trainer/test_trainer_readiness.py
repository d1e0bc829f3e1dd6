from pathlib import Path

import pytest

from services.trainer.__main__ import base_model_missing
from services.trainer.settings import Settings


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
