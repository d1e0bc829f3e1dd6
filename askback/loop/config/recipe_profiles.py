"""Named recipes of a kind of card, read from configs/recipes.toml, and written out into the configurations that name one."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Method, Recipe
from askback.loop.config.mistake import mistake

Fields = dict[str, Any]


@dataclass(frozen=True)
class RecipeProfile:
    """Fields of a recipe, each of them checked; those that are not named keep the recipe's own defaults."""

    fields: Fields
    dpo: Fields
    """What differs for adapters of method dpo."""


def recipes_file(environment: Mapping[str, str]) -> Path:
    """RECIPES_CONFIG, else the file of the current folder, else the one that lies beside this code."""
    own = Path("configs") / "recipes.toml"
    return Path(environment.get("RECIPES_CONFIG") or (own if own.is_file() else Path(__file__).parents[3] / own))


def read_recipes(path: Path) -> dict[str, RecipeProfile]:
    """Every profile of a TOML file by name; raises InvalidInput naming the profile and the field."""
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))["profiles"]
        tables: dict[str, Fields] = {name: dict(table) for name, table in profiles.items()}
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: no recipe profiles could be read ({error}); it needs tables such as [profiles.strategyqa-8gb]") from error
    return {name: _profile(path, name, table) for name, table in tables.items()}


def _profile(path: Path, name: str, table: Fields) -> RecipeProfile:
    fields = {field: value for field, value in table.items() if field != "dpo"}
    dpo = table.get("dpo", {})
    if not isinstance(dpo, dict):
        raise InvalidInput(f"{path}: profiles.{name}.dpo: not a table; write [profiles.{name}.dpo]")
    for part, under in ((fields, ("profiles", name)), (dpo, ("profiles", name, "dpo"))):
        try:
            Recipe.model_validate(part)
        except ValidationError as error:
            raise InvalidInput(f"{path}: {mistake(error, *under)}") from error
    return RecipeProfile(fields, dpo)


def written_out(raw: Fields, place: str, recipes: Path) -> Fields:
    """A run's raw configuration with its `recipe.profile` replaced by what the profile in the file `recipes` says.

    The run's own fields stand over the profile's, the profile's `dpo` over both for adapters of that method, and an adapter's own
    fields over all. The name stays as `recipe.from_profile`, so what is written out needs no profiles again. Raises InvalidInput, one
    line that starts with `place`, for a profile that is not known or was written out before.
    """
    recipe = raw.get("recipe")
    if not isinstance(recipe, dict) or "profile" not in recipe:
        return raw
    name = recipe["profile"]
    if recipe.get("from_profile"):
        raise InvalidInput(
            f"{place}: recipe.profile: this recipe was written out from {recipe['from_profile']!r} already; remove one of the two names"
        )
    profiles = read_recipes(recipes)
    if not isinstance(name, str) or name not in profiles:
        raise InvalidInput(f"{place}: recipe.profile: unknown profile {name!r}; {recipes} has {', '.join(profiles)}")
    profile = profiles[name]
    own = {field: value for field, value in recipe.items() if field != "profile"}
    resolved = raw | {"recipe": profile.fields | own | {"from_profile": name}}
    if isinstance(raw.get("adapters"), list):
        resolved["adapters"] = [_over_dpo(adapter, profile.dpo) for adapter in raw["adapters"]]
    return resolved


def _over_dpo(adapter: Any, dpo: Fields) -> Any:
    """A raw adapter with its own fields over `dpo`; what is no adapter is left to the check of the whole."""
    if not isinstance(adapter, dict) or adapter.get("method") != Method.DPO or not isinstance(adapter.get("recipe", {}), dict):
        return adapter
    return adapter | {"recipe": dpo | adapter.get("recipe", {})}
