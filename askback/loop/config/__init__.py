"""A run's configuration: one TOML file, checked field by field, written into the run's folder as it was resolved."""

from askback.loop.config.recipe_profiles import RecipeProfile, read_recipes, recipes_file
from askback.loop.config.run_config import RunConfig
from askback.loop.config.sections import (
    AdapterConfig,
    ChooseConfig,
    DataConfig,
    EvaluateConfig,
    HarvestConfig,
    PromoteConfig,
    RecipeConfig,
    Sampling,
    Section,
    Track,
    TracksConfig,
    TracksSection,
    TrainConfig,
)
from askback.loop.config.toml_file import dump_toml, load_config, overridden, parse_config

__all__ = [
    "AdapterConfig",
    "ChooseConfig",
    "DataConfig",
    "EvaluateConfig",
    "HarvestConfig",
    "PromoteConfig",
    "RecipeConfig",
    "RecipeProfile",
    "RunConfig",
    "Sampling",
    "Section",
    "Track",
    "TracksConfig",
    "TracksSection",
    "TrainConfig",
    "dump_toml",
    "load_config",
    "overridden",
    "parse_config",
    "read_recipes",
    "recipes_file",
]
