"""A run's configuration as a whole, with what must hold between its sections."""

from collections import Counter
from typing import Any

from pydantic import Field, ValidationError, model_validator

from askback.contracts.records import Condition
from askback.contracts.student import BASE, PREVIOUS, CotForm
from askback.contracts.trainer import Method, Recipe
from askback.loop.config.mistake import mistake
from askback.loop.config.sections import (
    AdapterConfig,
    ChooseConfig,
    DataConfig,
    EvaluateConfig,
    HarvestConfig,
    Name,
    PromoteConfig,
    RecipeConfig,
    Section,
    TracksConfig,
    TracksSection,
    TrainConfig,
)
from askback.loop.config.seeds import seeds_written_out
from askback.loop.config.variants import check_sources, check_variants, tracks_of
from askback.tasks import TASKS

_TRAIN_ROWS = {"strategyqa": 2000, "hotpotqa": 4000}
"""By task: rows of the training sub-sample when the configuration gives none."""


class RunConfig(Section):
    name: Name
    task: str
    seed: int = 0
    base_model: str = ""
    """Name of the student's base model, checked against the engine's; empty accepts any."""
    previous: str = Field(default="", pattern=r"^([\w-][\w.-]{0,127})?$")
    """Id of the earlier run whose promoted student drafts and asks; empty for the base model."""
    data: DataConfig = DataConfig()
    harvest: HarvestConfig = HarvestConfig()
    tracks: TracksSection = TracksSection()
    recipe: RecipeConfig = RecipeConfig()
    adapters: list[AdapterConfig] = Field(min_length=1)
    train: TrainConfig = TrainConfig()
    choose: ChooseConfig = ChooseConfig()
    evaluate: EvaluateConfig
    promote: PromoteConfig = PromoteConfig()

    @model_validator(mode="before")
    @classmethod
    def _sized_by_task(cls, raw: Any) -> Any:
        """The task's own number of training rows where none is given."""
        data = raw.get("data", {}) if isinstance(raw, dict) else None
        if not isinstance(data, dict) or "train" in data or raw.get("task") not in _TRAIN_ROWS:
            return raw
        return raw | {"data": data | {"train": _TRAIN_ROWS[raw["task"]]}}

    @model_validator(mode="before")
    @classmethod
    def _one_adapter_a_seed(cls, raw: Any) -> Any:
        return seeds_written_out(raw) if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _consistent(self) -> "RunConfig":
        if self.task not in TASKS:
            raise ValueError(f"task: unknown task {self.task!r}; known tasks: {', '.join(TASKS)}")
        known, families = set[str](), {adapter.family for adapter in self.adapters}
        for adapter in self.adapters:
            if adapter.name in known | families | {BASE, PREVIOUS} or adapter.family in (BASE, PREVIOUS):
                raise ValueError(f"adapters: the name {adapter.name!r} is taken; give each adapter its own")
            if adapter.init and adapter.init not in known:
                raise ValueError(f"adapters: {adapter.name!r} starts from {adapter.init!r}, which is not trained before it")
            if (adapter.method is Method.DPO) != (adapter.track == "preference"):
                raise ValueError(f"adapters: {adapter.name!r}: method dpo goes with track preference, method sft with the others")
            known.add(adapter.name)
            self._check_recipe(adapter)
        self._check_previous()
        check_variants(self.tracks, self.adapters)
        check_sources(self.tracks, self.data, self.harvest)
        for section, conditions in (("evaluate", self.evaluate.conditions), ("choose", self.choose.conditions)):
            for condition in conditions:
                if condition.adapter not in known | {BASE, PREVIOUS}:
                    raise ValueError(f"{section}.conditions: {condition.name}: no adapter {condition.adapter!r}; there are base, {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _something_to_choose_by(self) -> "RunConfig":
        if self.choose.conditions and not self.data.held_out:
            raise ValueError("choose.conditions: they are measured on held-out rows and there are none; set data.held_out, or drop [choose]")
        if not self.evaluate.conditions and not self.data.held_out:
            raise ValueError("evaluate.conditions: name at least one, such as base.direct; only a run with data.held_out may leave dev unread")
        if not self.deciding:
            raise ValueError("choose.conditions: name at least one to measure on the held-out rows, since evaluate.conditions has none")
        return self

    @model_validator(mode="after")
    def _promotable(self) -> "RunConfig":
        sizes = Counter(condition.pool for condition in self.deciding if condition.family)
        pooled = {condition.name: condition.pool for condition in self.deciding if sizes[condition.pool] > 1}
        known = {condition.pool: 0 for condition in self.deciding} | {one.name: 0 for one in self.deciding if one.name not in pooled}
        for name in self.promote.among:
            if name in pooled:
                raise ValueError(f"promote.among: {name!r} is one of several seeds, which are judged as one; name {pooled[name]!r}")
            if name not in known:
                raise ValueError(f"promote.among: no condition {name!r}; there are {', '.join(known)}")
        return self

    @property
    def deciding(self) -> list[Condition]:
        """The conditions by whose scores the promotion is decided: on the held-out rows those of `[choose]`, else those of `[evaluate]`."""
        return self.choose.conditions or self.evaluate.conditions

    def recipe_of(self, adapter: AdapterConfig) -> Recipe:
        """The whole recipe of one adapter: the run's with the adapter's own fields over it."""
        return Recipe.model_validate(self.recipe.model_dump(exclude={"from_profile"}) | adapter.recipe)

    def _check_previous(self) -> None:
        names = {
            "evaluate.conditions": [condition.name for condition in self.evaluate.conditions],
            "choose.conditions": [condition.name for condition in self.choose.conditions],
            "promote.baseline": [self.promote.baseline],
        }
        for field, named in names.items():
            for name in named if not self.previous else ():
                if name.partition(".")[0] == PREVIOUS:
                    raise ValueError(f"{field}: {name} is of the student of an earlier run; name that run with `previous = RUN_ID` at the top")

    @property
    def variants(self) -> list[str]:
        """The variants of the tracks that adapters train on, in the order of `[tracks.variants]`, behind the run's own, whose name is empty."""
        named = {adapter.tracks for adapter in self.adapters}
        return ["", *(name for name in self.tracks.variants if name in named)]

    def tracks_of(self, variant: str) -> TracksConfig:
        """The whole settings of a variant of the tracks; empty names the run's own. Raises KeyError for an unknown name."""
        return tracks_of(self.tracks, variant)

    def cot_of(self, adapter: str) -> CotForm:
        """The form in which mode `cot` is asked of `adapter`: that of the tracks it was trained on, and the run's own for every other name."""
        variants = {one.name: one.tracks for one in self.adapters}
        return self.tracks_of(variants.get(adapter, "")).cot

    def _check_recipe(self, adapter: AdapterConfig) -> None:
        try:
            self.recipe_of(adapter)
        except ValidationError as error:
            raise ValueError(f"adapters: {adapter.name!r}: {mistake(error, 'recipe')}") from error
