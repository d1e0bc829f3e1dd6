"""A recipe by the name of a profile: who wins over whom, what is kept of it, and what is said of mistakes."""

import tomllib
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Recipe
from askback.loop.config import RunConfig, dump_toml, load_config, overridden, read_recipes, recipes_file

PROFILES = """
[profiles.small]
epochs = 3
learning_rate = 2e-4
batch_size = 2
max_length = 64
gradient_checkpointing = true

[profiles.small.dpo]
epochs = 1
learning_rate = 5e-6
dpo_sft_weight = 0.3

[profiles.bare]
"""
RUN = """
name = "t"
task = "strategyqa"

[recipe]
RECIPE

[[adapters]]
name = "direct"
track = "direct"

[[adapters]]
name = "cot"
track = "cot"
recipe = { max_length = 96, batch_size = 8 }

[[adapters]]
name = "dpo"
track = "preference"
method = "dpo"
init = "direct"
recipe = { learning_rate = 1e-5 }

[evaluate]
conditions = ["base.direct"]
"""


def loaded(folder: Path, recipe: str, profiles: str = PROFILES) -> RunConfig:
    (folder / "run.toml").write_text(RUN.replace("RECIPE", recipe))
    (folder / "recipes.toml").write_text(profiles)
    return load_config(folder / "run.toml", folder / "recipes.toml")


def recipes(config: RunConfig) -> dict[str, Recipe]:
    return {adapter.name: config.recipe_of(adapter) for adapter in config.adapters}


def test_profile_then_run_then_dpo_then_adapter(tmp_path: Path) -> None:
    config = loaded(tmp_path, 'profile = "small"\nbatch_size = 4\ndpo_sft_weight = 0.9\nepochs = 2')
    found = recipes(config)
    assert found["direct"] == Recipe(epochs=2, learning_rate=2e-4, batch_size=4, max_length=64, gradient_checkpointing=True, dpo_sft_weight=0.9)
    assert found["cot"] == found["direct"].model_copy(update={"max_length": 96, "batch_size": 8})
    assert found["dpo"] == found["direct"].model_copy(update={"epochs": 1, "learning_rate": 1e-5, "dpo_sft_weight": 0.3})


def test_a_profile_without_differences_for_dpo_and_a_run_without_profile(tmp_path: Path) -> None:
    bare, none = loaded(tmp_path, 'profile = "bare"\nepochs = 2'), loaded(tmp_path, "epochs = 2")
    assert recipes(bare) == recipes(none)
    assert recipes(none)["dpo"] == Recipe(epochs=2, learning_rate=1e-5)
    assert (bare.recipe.from_profile, none.recipe.from_profile) == ("bare", "")


def test_a_run_without_profile_reads_no_profiles(tmp_path: Path) -> None:
    assert loaded(tmp_path, "epochs = 2", profiles="no TOML") == loaded(tmp_path, "epochs = 2")


def test_what_is_written_into_the_run_says_the_same_without_the_profiles(tmp_path: Path) -> None:
    config = loaded(tmp_path, 'profile = "small"\nfit = false\nallow = ["truncated"]')
    text = dump_toml(config)
    assert "profile" not in tomllib.loads(text)["recipe"] and tomllib.loads(text)["recipe"]["from_profile"] == "small"
    away = tmp_path / "away"
    away.mkdir()
    (away / "config.toml").write_text(text)
    again = load_config(away / "config.toml", away / "recipes.toml")
    assert again == config and recipes(again) == recipes(config) and dump_toml(again) == text


def test_options_of_the_command_line_leave_the_recipe_alone(tmp_path: Path) -> None:
    config = loaded(tmp_path, 'profile = "small"')
    changed = overridden(config, limit=5, teacher="gold")
    assert recipes(changed) == recipes(config) and changed.recipe.from_profile == "small"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('profile = "smal"', "run.toml: recipe.profile: unknown profile 'smal'; PATH/recipes.toml has small, bare"),
        ("profile = 8", "run.toml: recipe.profile: unknown profile 8; "),
        ('profile = ["small"]', "run.toml: recipe.profile: unknown profile ['small']; "),
        ('profile = "small"\nfrom_profile = "bare"', "run.toml: recipe.profile: this recipe was written out from 'bare' already; "),
        ('profile = "small"\nepochs = 0', "run.toml: recipe.epochs: "),
        ('profile = "small"\nepohcs = 1', "run.toml: recipe.epohcs: Extra inputs"),
    ],
)
def test_a_mistake_in_the_run_is_one_line(tmp_path: Path, recipe: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        loaded(tmp_path, recipe)
    said = str(raised.value).replace(f"{tmp_path}/run.toml", "run.toml").replace(str(tmp_path), "PATH")
    assert said.startswith(message) and "\n" not in said


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ("[profiles.small]\nepochs = 0", "recipes.toml: profiles.small.epochs: "),
        ("[profiles.small]\nrank = 8", "recipes.toml: profiles.small.rank: Extra inputs"),
        ("[profiles.small]\n[profiles.small.dpo]\nepochs = -1", "recipes.toml: profiles.small.dpo.epochs: "),
        ("[profiles.small]\ndpo = 1", "recipes.toml: profiles.small.dpo: not a table"),
        ("[profiles.small]\n[profiles.other]\nprofile = 'small'", "recipes.toml: profiles.other.profile: Extra inputs"),
        ("[small]\nepochs = 1", "recipes.toml: no recipe profiles could be read"),
        ("profiles = 3", "recipes.toml: no recipe profiles could be read"),
        ("[profiles]\nsmall = 3", "recipes.toml: no recipe profiles could be read"),
        ("profiles =", "recipes.toml: no recipe profiles could be read"),
    ],
)
def test_a_mistake_in_the_profiles_is_one_line(tmp_path: Path, profiles: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        loaded(tmp_path, 'profile = "small"', profiles)
    said = str(raised.value)
    assert said.startswith(f"{tmp_path}/{message}") and "\n" not in said


def test_a_mistake_in_an_adapters_recipe_names_the_adapter(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RUN.replace("RECIPE", "").replace("max_length = 96", "max_lenght = 96"))
    with pytest.raises(InvalidInput, match=r"run\.toml: adapters: 'cot': recipe\.max_lenght: Extra inputs") as raised:
        load_config(tmp_path / "run.toml")
    assert "\n" not in str(raised.value)


def test_missing_profiles_are_said_with_their_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.toml: no recipe profiles could be read .*No such file"):
        read_recipes(tmp_path / "none.toml")


def test_profiles_are_found_by_the_environment_then_here_then_beside_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipes_file({"RECIPES_CONFIG": "mine.toml"}) == Path("mine.toml")
    assert recipes_file({}) == Path(__file__).parents[2] / "configs" / "recipes.toml"
    assert recipes_file({}).is_file()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "recipes.toml").write_text(PROFILES)
    assert recipes_file({"RECIPES_CONFIG": ""}) == Path("configs/recipes.toml")
    (tmp_path / "run.toml").write_text(RUN.replace("RECIPE", 'profile = "small"'))
    monkeypatch.delenv("RECIPES_CONFIG", raising=False)
    assert load_config(tmp_path / "run.toml").recipe.max_length == 64
    monkeypatch.setenv("RECIPES_CONFIG", str(tmp_path / "other.toml"))
    (tmp_path / "other.toml").write_text("[profiles.small]\nmax_length = 32")
    assert load_config(tmp_path / "run.toml").recipe.max_length == 32
