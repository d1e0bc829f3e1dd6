import json
from collections.abc import Callable
from pathlib import Path

import pytest
from adapter_files import lora_bytes
from scripted_engine import ScriptedEngine

from services.student.adapters import Adapters


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., str]:
    """`make_adapter("run/adapters/a", weights=b"1", r=8)` writes a PEFT folder whose bytes follow from `weights`; returns its path below the root."""

    def make(path: str, weights: bytes = b"weights", **config: object) -> str:
        folder = tmp_path / "runs" / path
        folder.mkdir(parents=True)
        written = {"base_model_name_or_path": "/models/Smol", "r": 8} | config
        (folder / "adapter_model.safetensors").write_bytes(lora_bytes(weights, written["r"]))
        (folder / "adapter_config.json").write_text(json.dumps(written))
        return path

    return make


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def open_adapters(tmp_path: Path, engine: ScriptedEngine) -> Callable[[], Adapters]:
    """Opens the registry on the same files each time, as a restarted service does."""
    return lambda: Adapters(
        engine, root=tmp_path / "runs", state=tmp_path / "student.json", base_model="Smol", served_base="student-base", max_rank=16
    )
