import tomllib
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Condition
from askback.loop.config import dump_toml, load_config, overridden, parse_config

RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "adapters": [{"name": "direct", "track": "direct"}, {"name": "dpo", "track": "preference", "method": "dpo", "init": "direct"}],
    "evaluate": {"conditions": ["base.direct", "direct.assisted.teacher", "dpo.context.gold"]},
}


def test_conditions_are_read_from_names_and_written_back() -> None:
    conditions = parse_config(RAW, "t").evaluate.conditions
    assert conditions[1] == Condition(adapter="direct", mode="assisted", resolver="teacher")
    assert [condition.name for condition in conditions] == RAW["evaluate"]["conditions"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "chess"}, "unknown task 'chess'; known tasks: strategyqa, hotpotqa"),
        ({"nmae": "x"}, "nmae: Extra inputs"),
        ({"name": "Bad Name"}, "name: "),
        ({"evaluate": {"conditions": ["base.dance"]}}, "'base.dance' is not ADAPTER.MODE"),
        ({"evaluate": {"conditions": ["base.assisted"]}}, "needs a resolver"),
        ({"evaluate": {"conditions": ["cot.direct"]}}, "no adapter 'cot'; there are base, "),
        ({"evaluate": {"conditions": []}}, "evaluate.conditions: "),
        ({"adapters": [{"name": "a", "track": "direct"}] * 2}, "the name 'a' is taken"),
        ({"adapters": [{"name": "a", "track": "direct", "init": "b"}]}, "starts from 'b', which is not trained before it"),
        ({"adapters": [{"name": "a", "track": "direct", "method": "dpo"}]}, "method dpo goes with track preference"),
        ({"adapters": [{"name": "a", "track": "direct", "recipe": {"epochs": -1}}]}, "epochs"),
        ({"data": {"train": 0}}, "data.train: "),
        ({"data": {"sampling": "greedy"}}, "data.sampling: "),
        ({"data": {"sampling": "uncertainty", "train": 20, "pool": 10}}, "pool: 10 rows to choose from are fewer than the 20 of `train`"),
        ({"data": {"samples": 1}}, "data.samples: "),
        ({"harvest": {"hint": "often"}}, "harvest.hint: "),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_config(RAW | change, "run.toml")
    assert message in str(raised.value)
    assert str(raised.value).startswith("run.toml: ")
    assert "\n" not in str(raised.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(InvalidInput, match=r"bad\.toml: not a readable TOML"):
        load_config(tmp_path / "bad.toml")


def test_overrides() -> None:
    config = overridden(parse_config(RAW, "t"), data=Path("/d"), teacher="gold", limit=7)
    assert (config.data.path, config.harvest.teacher, config.data.train, config.data.dev) == ("/d", "gold", 7, 7)
    assert overridden(config, limit=100).data.train == 7


def test_overrides_of_the_harvests_options() -> None:
    config = parse_config(RAW, "t")
    assert overridden(config) == config
    changed = overridden(config, keep_wrong=True, hint=True, sampling="uncertainty")
    assert (changed.tracks.keep_wrong, changed.harvest.hint, changed.data.sampling) == (True, True, "uncertainty")
    back = overridden(changed, keep_wrong=False, hint=False, sampling="stratified")
    assert back == config
    with pytest.raises(InvalidInput, match=r"the command line's options: data\.sampling: "):
        overridden(config, sampling="greedy")


@pytest.mark.parametrize(("task", "rows"), [("strategyqa", 2000), ("hotpotqa", 4000)])
def test_the_sample_has_the_tasks_own_size_where_none_is_given(task: str, rows: int) -> None:
    assert parse_config(RAW | {"task": task}, "t").data.train == rows
    assert parse_config(RAW | {"task": task, "data": {"dev": 5}}, "t").data.train == rows
    given = parse_config(RAW | {"task": task, "data": {"train": 7}}, "t")
    assert given.data.train == 7
    assert f"train = {rows}" in dump_toml(parse_config(RAW | {"task": task}, "t"))


def test_the_resolved_configuration_survives_its_own_toml() -> None:
    config = parse_config(RAW | {"task": "hotpotqa", "data": {"sampling": "uncertainty", "samples": 6}, "harvest": {"hint": True}}, "t")
    assert parse_config(tomllib.loads(dump_toml(config)), "dump") == config


def test_an_adapter_changes_single_fields_of_the_recipe() -> None:
    config = parse_config(
        RAW
        | {
            "recipe": {"epochs": 5},
            "adapters": [{"name": "direct", "track": "direct", "recipe": {"learning_rate": 1e-3}}],
            "evaluate": {"conditions": ["base.direct"]},
        },
        "t",
    )
    recipe = config.recipe_of(config.adapters[0])
    assert (recipe.epochs, recipe.learning_rate) == (5, 1e-3)
