"""A run's TOML over the one that it extends: what is merged, what is replaced, and which file a mistake is told of."""

import tomllib
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.loop.config import dump_toml, load_config

BASE = """
name = "round1"
task = "strategyqa"
seed = 13
data = { train = 100, dev = 20, recordings = ["a.jsonl", "b.jsonl"] }
recipe = { epochs = 3, learning_rate = 2e-4 }
adapters = [{ name = "direct", track = "direct" }, { name = "dialogue", track = "dialogue" }]
evaluate = { conditions = ["base.direct", "direct.direct"] }
"""


def write(folder: Path, **files: str) -> Path:
    """Each text as NAME.toml; returns the last one's path."""
    for name, text in files.items():
        path = folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
    return path


def test_tables_are_merged_and_lists_and_values_replaced(tmp_path: Path) -> None:
    change = """
    extends = "base.toml"
    name = "round2"
    data = { dev = 30, recordings = ["c.jsonl"] }
    recipe = { epochs = 1 }
    adapters = [{ name = "dialogue", track = "dialogue" }]
    evaluate = { conditions = ["base.direct", "dialogue.assisted.teacher"] }
    """
    config = load_config(write(tmp_path, base=BASE, run=change))
    assert (config.name, config.seed, config.task) == ("round2", 13, "strategyqa")
    assert (config.data.train, config.data.dev, config.data.recordings) == (100, 30, ["c.jsonl"])
    assert (config.recipe.epochs, config.recipe.learning_rate) == (1, 2e-4)
    assert [adapter.name for adapter in config.adapters] == ["dialogue"]
    assert [condition.name for condition in config.evaluate.conditions] == ["base.direct", "dialogue.assisted.teacher"]
    assert load_config(tmp_path / "base.toml").name == "round1"


def test_a_chain_is_read_from_its_end_and_from_where_each_file_lies(tmp_path: Path) -> None:
    (tmp_path / "rounds").mkdir()
    write(tmp_path, base=BASE)
    last = write(
        tmp_path / "rounds",
        two='extends = "../base.toml"\nname = "round2"\nseed = 14\n[data]\ntrain = 50\n',
        three='extends = "two.toml"\nname = "round3"\n[data]\ndev = 10\n',
    )
    config = load_config(last)
    assert (config.name, config.seed, config.data.train, config.data.dev) == ("round3", 14, 50, 10)


def test_the_resolved_whole_needs_the_other_file_no_more(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, base=BASE, run='extends = "base.toml"\nseed = 5\n'))
    text = dump_toml(config)
    assert "extends" not in tomllib.loads(text)
    (tmp_path / "away").mkdir()
    assert load_config(write(tmp_path / "away", config=text)) == config


def test_a_file_mounted_as_a_link_finds_its_base_beside_the_link(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as links into a folder that is replaced as a whole."""
    (tmp_path / "..data").mkdir()
    write(tmp_path / "..data", base=BASE, run='extends = "base.toml"\nseed = 5\n')
    for name in ("base.toml", "run.toml"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    assert load_config(tmp_path / "run.toml").seed == 5


@pytest.mark.parametrize("profile", ["base", "run"])
def test_a_profile_is_written_out_of_the_merged_whole(tmp_path: Path, profile: str) -> None:
    named = '[recipe]\nprofile = "small"\n'
    base = BASE.replace("recipe = { epochs = 3, learning_rate = 2e-4 }", "") + (named if profile == "base" else "")
    change = 'extends = "base.toml"\n' + (named if profile == "run" else "[recipe]\nlearning_rate = 1e-3\n")
    recipes = write(tmp_path, recipes="[profiles.small]\nepochs = 7\nlearning_rate = 5e-4\n")
    config = load_config(write(tmp_path, base=base, run=change), recipes)
    assert (config.recipe.epochs, config.recipe.from_profile) == (7, "small")
    assert config.recipe.learning_rate == (5e-4 if profile == "run" else 1e-3)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"run": 'extends = "base.toml"'}, "{0}/base.toml: no such file; {0}/run.toml extends it"),
        ({"base": "name = ", "run": 'extends = "base.toml"'}, "{0}/base.toml: not a readable TOML file"),
        ({"run": 'extends = "run.toml"'}, "{0}/run.toml: extends: {0}/run.toml extends this file in turn"),
        ({"base": 'extends = "./run.toml"', "run": 'extends = "base.toml"'}, "{0}/base.toml: extends: {0}/run.toml extends this file in turn"),
        ({"run": 'extends = ["base.toml"]'}, "{0}/run.toml: extends: give the path of one TOML file"),
        ({"run": 'extends = ""'}, "{0}/run.toml: extends: give the path of one TOML file"),
        ({"base": BASE + "[data2]", "run": 'extends = "base.toml"'}, "{0}/run.toml (extends {0}/base.toml): data2: "),
        (
            {"base": BASE, "run": 'extends = "base.toml"\n[recipe]\nprofile = "none"'},
            "{0}/run.toml (extends {0}/base.toml): recipe.profile: unknown profile 'none'",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_files(tmp_path: Path, files: dict[str, str], message: str) -> None:
    recipes = write(tmp_path, recipes="[profiles.small]\nepochs = 7\n")
    with pytest.raises(InvalidInput) as raised:
        load_config(write(tmp_path, **files), recipes)
    assert str(raised.value).startswith(message.format(tmp_path))
    assert "\n" not in str(raised.value)
