"""A run's TOML that extends another: what it says over what the other says."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput

Raw = dict[str, Any]


@dataclass(frozen=True)
class Extended:
    """A run's raw configuration, without `extends`."""

    raw: Raw
    place: str
    """The file with those that it extends, since a mistake may stand in any of them."""


def read_extended(path: Path) -> Extended:
    """The file with what `extends` names under it, and so on: tables are merged key by key, lists and single values replaced.

    `extends` is relative to the file that says it. Raises InvalidInput, one line that names the files, for one that is missing, is not
    TOML, or extends itself.
    """
    files, raw = [path], _read(path, "`ls configs/` shows the configurations that ship with askback")
    while "extends" in raw:
        base, extending = raw.pop("extends"), files[-1]
        if not isinstance(base, str) or not base:
            raise InvalidInput(f"{extending}: extends: give the path of one TOML file, relative to this one")
        files.append(extending.parent / base)
        if files[-1].resolve() in [file.resolve() for file in files[:-1]]:
            raise InvalidInput(f"{extending}: extends: {files[-1]} extends this file in turn; remove one of the two lines")
        raw = _over(raw, _read(files[-1], f"{extending} extends it"))
    bases = ", ".join(str(file) for file in files[1:])
    return Extended(raw, f"{path} (extends {bases})" if bases else str(path))


def _read(path: Path, missing: str) -> Raw:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: no such file; {missing}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: not a readable TOML file: {error}") from error


def _over(raw: Raw, base: Raw) -> Raw:
    """`raw` over `base`, table by table."""
    merged = base | raw
    for key in raw.keys() & base.keys():
        if isinstance(raw[key], dict) and isinstance(base[key], dict):
            merged[key] = _over(raw[key], base[key])
    return merged
