"""The backends file: one TOML that names every backend. Every complaint is one line with the file, the backend and the field."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from askback.contracts.errors import InvalidInput

OPENAI_URL = "https://api.openai.com/v1"
ACTIVE_ALIAS = "teacher"  # the `model` that means the active backend, so no backend may have this name


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ValueError("must not hold a password; name the key's environment variable in api_key_env")
    return url


BackendName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Dollars = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
    base_url: Annotated[str, AfterValidator(_http_url)] = OPENAI_URL
    api_key_env: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """Environment variable that holds the key; empty for servers without keys."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """Seconds one try may take."""
    deadline_s: float = Field(default=180.0, gt=0, le=86400)
    """Seconds a request may take in all: waiting for its turn, tries and the pauses between them."""
    max_tries: int = Field(default=4, ge=1, le=20)
    """Tries of one request. A 429 is no try: it is waited out until the deadline."""
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    max_concurrency: int | None = Field(default=None, ge=1, le=4096)
    """Calls under way at a time from the first one on, fewer while the upstream answers 429. Where none is given it is found
    by trying, from 4 to 64."""
    price_per_million_prompt_usd: Dollars | None = None
    price_per_million_completion_usd: Dollars | None = None
    """Both or neither. Without them the price is looked up by address and model."""
    max_completion_tokens: int = Field(default=4096, ge=1)
    """What a request that names no limit of its own is limited to where tokens cost money, so that its price has an upper bound."""
    token_limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"  # noqa: S105
    """The field in which that limit is sent."""
    batch: bool = False
    """Whether the server has OpenAI's Batch API."""


BackendSpec = ReplaySpec | GoldSpec | OpenAISpec


class BudgetSpec(BaseModel):
    """Dollar limits; None for no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    total_usd: Dollars | None = None
    """Of all that the ledger holds."""
    run_usd: Dollars | None = None
    """Of each run, named by the header x-askback-run."""
    allow_unpriced: list[str] = Field(default_factory=list)
    """Models that may be called though their price is not known; they are booked at 0 dollars."""


class TeacherConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    active: str
    budget: BudgetSpec = BudgetSpec()
    cache_memory_mib: int = Field(default=32, ge=0, le=65536)
    """Memory for answers used of late; the others are read from the store."""
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
        if isinstance(spec, OpenAISpec) and (spec.price_per_million_prompt_usd is None) != (spec.price_per_million_completion_usd is None):
            return f"backend {spec.name!r}: price_per_million_prompt_usd and price_per_million_completion_usd: set both or neither"
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
