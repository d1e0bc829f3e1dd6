"""Every configuration in the repository loads, and says the same after a round trip through its TOML."""

import tomllib
from pathlib import Path

import pytest

from askback.loop.config import dump_toml, load_config, parse_config

RUNS = sorted(path for path in (Path(__file__).parents[1] / "configs").glob("*.toml") if path.name not in {"teacher.toml", "engine.toml"})


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_config_loads_and_survives_its_own_toml(path: Path) -> None:
    config = load_config(path)
    assert parse_config(tomllib.loads(dump_toml(config)), "dump") == config


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_local_data_of_a_config_exists(path: Path) -> None:
    data = load_config(path).data
    if not data.path:
        return
    root = path.parents[1] / data.path
    assert root.is_dir()
    assert all((root / name).is_file() for name in [*data.recordings, *([data.corpus] if data.corpus else [])])
