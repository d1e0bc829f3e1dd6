"""Every configuration in the repository loads, and says the same after a round trip through its TOML."""

import re
import tomllib
from pathlib import Path

import pytest

from askback.contracts.trainer import Method, Recipe
from askback.loop.config import dump_toml, load_config, parse_config, read_recipes

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = CONFIGS / "recipes.toml"
RUNS = sorted(path for path in CONFIGS.glob("*.toml") if path.name not in {"teacher.toml", "engine.toml", "recipes.toml"})
OF_A_CARD = ("strategyqa-8gb", "hotpotqa-24gb", "hotpotqa-16gb", "strategyqa-h200")


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_config_loads_and_survives_its_own_toml(path: Path) -> None:
    config = load_config(path, RECIPES)
    assert parse_config(tomllib.loads(dump_toml(config)), "dump") == config


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_local_data_of_a_config_exists(path: Path) -> None:
    data = load_config(path, RECIPES).data
    if not data.path:
        return
    root = path.parents[1] / data.path
    assert root.is_dir()
    assert all((root / name).is_file() for name in [*data.recordings, *([data.corpus] if data.corpus else [])])


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_config_extends_one_of_its_own_folder(path: Path) -> None:
    """Kubernetes and the images have `configs/` as one folder, without its surroundings."""
    base = tomllib.loads(path.read_text()).get("extends")
    assert base is None or base in {run.name for run in RUNS}


@pytest.mark.parametrize(
    ("name", "rows", "tokens", "four_bit", "fit"),
    [
        ("strategyqa-8gb", 32, 128, True, True),
        ("hotpotqa-24gb", 32, 512, True, True),
        ("hotpotqa-16gb", 32, 512, True, True),
        ("h200", 64, 512, True, True),
        ("cpu", 4, 256, False, False),
    ],
)
def test_a_profile_is_the_plans_recipe_at_the_size_of_its_card(name: str, rows: int, tokens: int, four_bit: bool, fit: bool) -> None:
    profile = read_recipes(RECIPES)[name]
    recipe, dpo = Recipe.model_validate(profile.fields), Recipe.model_validate(profile.fields | profile.dpo)
    assert (recipe.epochs, recipe.learning_rate, recipe.lora_rank, recipe.lora_alpha, recipe.lora_dropout) == (3, 2e-4, 16, 32, 0)
    assert (recipe.batch_size * recipe.gradient_accumulation, recipe.max_length) == (rows, tokens)
    assert (recipe.four_bit, recipe.fit, recipe.gradient_checkpointing) == (four_bit, fit, None)
    changed = {"epochs": 1, "learning_rate": 5e-6, "dpo_sft_weight": 0.2, "batch_size": 8, "gradient_accumulation": 1}
    assert dpo == recipe.model_copy(update=changed)


def test_every_profile_but_the_cpus_has_a_run() -> None:
    used = {load_config(path, RECIPES).recipe.from_profile for path in RUNS} - {""}
    assert read_recipes(RECIPES).keys() == used | {"cpu"}


@pytest.mark.parametrize("name", OF_A_CARD)
def test_the_run_of_a_card_trains_every_track_by_its_profile(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.toml", RECIPES)
    profile = read_recipes(RECIPES)[config.recipe.from_profile]
    assert [(adapter.track, adapter.method) for adapter in config.adapters] == [
        *((track, Method.SFT) for track in ("direct", "cot", "context", "dialogue")),
        ("preference", Method.DPO),
    ]
    for adapter in config.adapters:
        part = profile.dpo if adapter.method is Method.DPO else {}
        assert config.recipe_of(adapter) == Recipe.model_validate(profile.fields | part | adapter.recipe)
        assert adapter.recipe.keys() <= {"max_length"} | part.keys()
    assert config.data.train == {"strategyqa": 2000, "hotpotqa": 4000}[config.task]
    wanted = {condition.name for condition in load_config(CONFIGS / "strategyqa.toml").evaluate.conditions}
    assert wanted <= {condition.name for condition in config.evaluate.conditions}


def test_the_two_hotpotqa_runs_differ_in_nothing_but_their_card() -> None:
    texts = [(CONFIGS / f"hotpotqa-{size}gb.toml").read_text() for size in (24, 16)]
    bare = [tomllib.loads(re.sub(r"-(24|16)gb", "", text).replace('profile = "hotpotqa"', 'profile = "x"')) for text in texts]
    assert bare[0] == bare[1]


def test_a_config_of_a_card_needs_its_profiles_only_until_it_is_resolved(tmp_path: Path) -> None:
    config = load_config(CONFIGS / "strategyqa-8gb.toml", RECIPES)
    (tmp_path / "config.toml").write_text(dump_toml(config))
    again = load_config(tmp_path / "config.toml", tmp_path / "no-recipes.toml")
    assert again == config and again.recipe.from_profile == "strategyqa-8gb"
    assert [again.recipe_of(adapter) for adapter in again.adapters] == [config.recipe_of(adapter) for adapter in config.adapters]
