"""A run's configuration: one TOML file, checked field by field, written into the run's folder as it was resolved."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Condition
from askback.contracts.student import BASE, CotForm, Resolver
from askback.contracts.trainer import Method, Recipe
from askback.tasks import TASKS

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Track = Literal["direct", "cot", "context", "dialogue", "preference"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Which questions."""

    path: str = ""
    """Folder with the official files; empty loads the official dataset by name from the hub."""
    train: int = Field(default=2000, ge=1)
    """Rows of the stratified training sub-sample; fewer when the data has fewer."""
    dev: int = Field(default=229, ge=1)
    recordings: list[str] = []
    """JSONL files of recorded teacher answers, relative to `path`; a dataset from the hub has none."""
    corpus: str = ""
    """JSONL file of passages to retrieve from, relative to `path`; empty for tasks without retrieval."""


class HarvestConfig(Section):
    """How the student drafts and who teaches."""

    teacher: str = "replay"
    """Backend of the teacher service."""
    max_questions: int = Field(default=2, ge=1, le=2)
    concurrency: int = Field(default=32, ge=1, le=1024)
    retrieve: int = Field(default=0, ge=0, le=20)
    """Passages retrieved for each question before the draft; 0 keeps the dataset's own."""


class TracksConfig(Section):
    """Which rows become training rows."""

    keep_wrong: bool = False
    """Keep rows whose teacher disagrees with the gold answer."""
    leaks: bool = True
    """Drop rows whose clarifying questions tell the answer."""
    duplicates: bool = True
    """Drop questions that were asked before, word for word or nearly so."""
    near_duplicate: float = Field(default=0.7, gt=0, le=1)
    """Share of common word 5-grams (Jaccard) from which two questions are near duplicates."""
    overlap: bool = True
    """Drop questions that share a run of words with a dev question."""
    overlap_words: int = Field(default=8, ge=1)
    """Words of such a run; a shorter question overlaps with a dev question of the same words."""
    length: bool = True
    """Drop questions with a row over the token limit of its track."""
    max_tokens: int = Field(default=0, ge=0)
    """Tokens of a row's prompt and answer together; 0 takes `max_length` of the recipe that trains on the track."""
    balance: bool = True
    """Drop rows of the larger class after filtering, for tasks with a closed set of answers."""
    cot: CotForm = CotForm.RATIONALE_FIRST
    """Form of the track `cot`: thought then answer, answer then thought, or each as a task of its own under a prefix."""


class AdapterConfig(Section):
    """One adapter to train."""

    name: Name
    track: Track
    method: Method = Method.SFT
    init: str = ""
    """Adapter to start from (DPO); empty starts from the base model."""
    recipe: dict[str, Any] = {}
    """Fields of the recipe that differ from the run's `[recipe]`."""


def _condition(value: Any) -> Any:
    """`base.direct` and `dialogue.assisted.teacher` as conditions."""
    if not isinstance(value, str):
        return value
    adapter, _, rest = value.partition(".")
    mode, _, resolver = rest.partition(".")
    if mode not in ("direct", "cot", "context", "assisted"):
        raise ValueError(f"{value!r} is not ADAPTER.MODE or ADAPTER.assisted.RESOLVER with mode direct, cot, context or assisted")
    if mode in ("context", "assisted") and resolver not in list(Resolver):
        raise ValueError(f"{value!r} needs a resolver behind its mode: {', '.join(Resolver)}")
    return Condition(adapter=adapter, mode=mode, resolver=resolver or "none")


class EvaluateConfig(Section):
    """Which conditions are measured on the dev questions."""

    conditions: list[Annotated[Condition, BeforeValidator(_condition)]] = Field(min_length=1)
    concurrency: int = Field(default=32, ge=1, le=1024)


class PromoteConfig(Section):
    """When an adapter becomes the student."""

    baseline: str = "base.direct"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Largest Holm-adjusted p-value at which a better condition is promoted."""


class RunConfig(Section):
    name: Name
    task: str
    seed: int = 0
    base_model: str = ""
    """Name of the student's base model, checked against the engine's; empty accepts any."""
    data: DataConfig = DataConfig()
    harvest: HarvestConfig = HarvestConfig()
    tracks: TracksConfig = TracksConfig()
    recipe: Recipe = Recipe()
    adapters: list[AdapterConfig] = Field(min_length=1)
    evaluate: EvaluateConfig
    promote: PromoteConfig = PromoteConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "RunConfig":
        if self.task not in TASKS:
            raise ValueError(f"task: unknown task {self.task!r}; known tasks: {', '.join(TASKS)}")
        known: set[str] = set()
        for adapter in self.adapters:
            if adapter.name in known or adapter.name == BASE:
                raise ValueError(f"adapters: the name {adapter.name!r} is taken; give each adapter its own")
            if adapter.init and adapter.init not in known:
                raise ValueError(f"adapters: {adapter.name!r} starts from {adapter.init!r}, which is not trained before it")
            if (adapter.method is Method.DPO) != (adapter.track == "preference"):
                raise ValueError(f"adapters: {adapter.name!r}: method dpo goes with track preference, method sft with the others")
            known.add(adapter.name)
            self.recipe_of(adapter)
        for condition in self.evaluate.conditions:
            if condition.adapter not in known | {BASE}:
                raise ValueError(f"evaluate.conditions: {condition.name}: no adapter {condition.adapter!r}; there are base, {', '.join(known)}")
        return self

    def recipe_of(self, adapter: AdapterConfig) -> Recipe:
        """The run's recipe with the adapter's own fields over it."""
        return Recipe.model_validate(self.recipe.model_dump() | adapter.recipe)


def load_config(path: Path) -> RunConfig:
    """Read and check a run's TOML; raises InvalidInput with one line naming file and field."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: no such file; `ls configs/` shows the configurations that ship with askback") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: not a readable TOML file: {error}") from error
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], place: str) -> RunConfig:
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{place}: {field + ': ' if field else ''}{message}") from error


def overridden(config: RunConfig, data: Path | None = None, teacher: str | None = None, limit: int | None = None) -> RunConfig:
    """The configuration with another data folder, another teacher, or at most `limit` rows of each split."""
    raw = config.model_dump()
    if data is not None:
        raw["data"]["path"] = str(data)
    if teacher is not None:
        raw["harvest"]["teacher"] = teacher
    if limit is not None:
        raw["data"] |= {split: min(raw["data"][split], limit) for split in ("train", "dev")}
    return RunConfig.model_validate(raw)


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
