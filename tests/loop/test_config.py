from pathlib import Path
from typing import Any

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Condition
from askback.loop.config import load_config, overridden, parse_config

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
