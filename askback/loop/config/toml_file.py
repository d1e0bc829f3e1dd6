"""A run's configuration from its TOML file, under the command line's options, and back into TOML."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from askback.contracts.errors import InvalidInput
from askback.loop.config.extends import read_extended
from askback.loop.config.mistake import mistake
from askback.loop.config.recipe_profiles import recipes_file, written_out
from askback.loop.config.run_config import RunConfig


def load_config(path: Path, recipes: Path | None = None) -> RunConfig:
    """Read and check a run's TOML, with what it extends; raises InvalidInput with one line naming file and field.

    `recipes` holds the profiles that a recipe may name, by default RECIPES_CONFIG or configs/recipes.toml; it is read only then.
    """
    file = read_extended(path)
    return parse_config(written_out(file.raw, file.place, recipes or recipes_file(os.environ)), file.place)


def parse_config(raw: dict[str, Any], place: str) -> RunConfig:
    """Check what a run's TOML holds, its profile written out; raises InvalidInput with one line that starts with `place`."""
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(f"{place}: {mistake(error)}") from error


def overridden(
    config: RunConfig,
    data: Path | None = None,
    teacher: str | None = None,
    limit: int | None = None,
    keep_wrong: bool | None = None,
    hint: bool | None = None,
    sampling: str | None = None,
    previous: str | None = None,
) -> RunConfig:
    """The configuration with what is not None in place of its own; `limit` is the most rows of each split.

    Raises InvalidInput naming a field that does not fit.
    """
    raw = config.model_dump()
    wanted = {("data", "path"): str(data) if data is not None else None, ("harvest", "teacher"): teacher, ("tracks", "keep_wrong"): keep_wrong}
    wanted |= {("harvest", "hint"): hint, ("data", "sampling"): sampling}
    for (section, field), value in wanted.items():
        if value is not None:
            raw[section][field] = value
    if previous is not None:
        raw["previous"] = previous
    if limit is not None:
        raw["data"] |= {split: min(raw["data"][split], limit) for split in ("train", "dev", "held_out")}
    return parse_config(raw, "the command line's options")


def dump_toml(config: RunConfig) -> str:
    """The resolved configuration as TOML; values are written as JSON, which TOML shares for texts, numbers and lists."""
    return "\n".join(_table("", config.model_dump(mode="json"))) + "\n"


def _table(prefix: str, table: dict[str, Any]) -> list[str]:
    plain = {key: value for key, value in table.items() if not _is_table(value) and not _is_tables(value)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items() if value is not None]
    for key, value in table.items():
        if _is_table(value):
            lines += ["", f"[{prefix}{key}]", *_table(f"{prefix}{key}.", value)]
        elif _is_tables(value):
            for entry in value:
                lines += ["", f"[[{prefix}{key}]]", *_table(f"{prefix}{key}.", entry)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
