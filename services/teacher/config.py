"""The backends file: one TOML that names every backend. Every complaint is one line with the file, the backend and the field."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from askback.contracts.errors import InvalidInput

ACTIVE_ALIAS = "teacher"  # the `model` that means the active backend, so no backend may have this name


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ValueError("must not hold a password; name the key's environment variable in api_key_env")
    return url


BackendName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: BackendName
    fallback: list[str] = Field(default_factory=list)
    """Backends asked in this order when this one has no answer or cannot be reached."""


class ReplaySpec(_Spec):
    """Recorded answers of a teacher."""

    kind: Literal["replay"]
    model: str = "recorded"
    path: str = ""
    """JSONL file, or folder of them, read at start; relative to the backends file."""


class GoldSpec(_Spec):
    """Recorded answers made of the dataset's own annotations."""

    kind: Literal["gold"]
    model: str = "gold"


class OpenAISpec(_Spec):
    """OpenAI, or any server that speaks its API."""

    kind: Literal["openai"]
    model: str = Field(min_length=1)
    base_url: Annotated[str, AfterValidator(_http_url)] = "https://api.openai.com/v1"
    api_key_env: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """Environment variable that holds the key; empty for servers without keys."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """Seconds one try may take."""
    price_per_million_prompt_usd: Dollars = 0.0
    price_per_million_completion_usd: Dollars = 0.0


BackendSpec = ReplaySpec | GoldSpec | OpenAISpec


class TeacherConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    active: str
    backends: list[Annotated[BackendSpec, Field(discriminator="kind")]] = Field(min_length=1)

    def by_name(self) -> dict[str, BackendSpec]:
        return {spec.name: spec for spec in self.backends}


def load_config(path: Path) -> TeacherConfig:
    """The backends file at `path`; raises InvalidInput naming the first bad field."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read as TOML: {error}") from error
    try:
        config = TeacherConfig.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {_first_complaint(error, raw)}") from error
    if complaint := _cross_check(config):
        raise InvalidInput(f"{path}: {complaint}")
    return config


def _cross_check(config: TeacherConfig) -> str:
    names = [spec.name for spec in config.backends]
    known = ", ".join(names)
    for name in names:
        if name == ACTIVE_ALIAS:
            return f"backend {name!r}: name: is reserved, since it means the active backend; choose another"
        if names.count(name) > 1:
            return f"backend {name!r}: name: stands twice; names must be unique"
    if config.active not in names:
        return f"active: {config.active!r} is not a backend; known: {known}"
    for spec in config.backends:
        for other in spec.fallback:
            if other not in names:
                return f"backend {spec.name!r}: fallback: {other!r} is not a backend; known: {known}"
            if other == spec.name or spec.fallback.count(other) > 1:
                return f"backend {spec.name!r}: fallback: {other!r} would be asked twice; name each backend once"
    return ""


def _first_complaint(error: ValidationError, raw: dict[str, Any]) -> str:
    """One line that never repeats the value, which could be a key set in the wrong place."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = list(first["loc"])
    where = ""
    if len(place) >= 2 and place[0] == "backends" and isinstance(place[1], int):
        where = _backend_at(raw, place[1]) + ": "
        place = place[3:]  # behind the index comes the kind, which pydantic adds
    field = ".".join(str(part) for part in place)
    messages = {
        "extra_forbidden": "is not a field here; remove it or correct its name",
        "missing": "is missing",
        "union_tag_not_found": "kind: is missing; it must be openai, replay or gold",
        "union_tag_invalid": "kind: must be openai, replay or gold",
    }
    text = messages.get(first["type"], first["msg"].removeprefix("Value error, "))
    return where + (f"{field}: {text}" if field else text)


def _backend_at(raw: dict[str, Any], index: int) -> str:
    entry = raw["backends"][index]
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"backend {name!r}" if isinstance(name, str) else f"[[backends]] number {index + 1}"
