"""What a run's configuration says of held-out rows and of the choice, and how its mistakes are told."""

import tomllib
from typing import Any

import pytest

from askback.contracts.errors import InvalidInput
from askback.loop.config import dump_toml, overridden, parse_config

RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "data": {"held_out": 50},
    "adapters": [{"name": "direct", "track": "direct", "seeds": [1, 2]}, {"name": "cot", "track": "cot", "seeds": [1]}],
    "evaluate": {"conditions": ["base.direct", "direct.direct", "cot.cot"]},
}


def test_the_choice_is_made_by_its_own_conditions_else_by_those_of_evaluate() -> None:
    config = parse_config(RAW, "t")
    assert config.deciding == config.evaluate.conditions
    config = parse_config(RAW | {"choose": {"conditions": ["base.direct", "direct.context.teacher"]}}, "t")
    assert [one.name for one in config.deciding] == ["base.direct", "direct-s1.context.teacher", "direct-s2.context.teacher"]
    assert (config.deciding[2].family, config.deciding[2].seed) == ("direct", 2)
    assert parse_config(tomllib.loads(dump_toml(config)), "t") == config
    assert overridden(config, limit=8).data.held_out == 8


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {}, "choose": {"conditions": ["base.direct"]}}, "choose.conditions: they are measured on held-out rows and there are none"),
        ({"data": {}, "evaluate": {"conditions": []}}, "evaluate.conditions: name at least one"),
        ({"evaluate": {"conditions": []}}, "choose.conditions: name at least one"),
        ({"choose": {"conditions": ["nobody.direct"]}}, "choose.conditions: nobody.direct: no adapter 'nobody'"),
        ({"choose": {"conditions": ["base.dance"]}}, "'base.dance' is not ADAPTER.MODE"),
        ({"choose": {"condition": []}}, "choose.condition: "),
        ({"data": {"held_out": -1}}, "data.held_out: "),
        (
            {"promote": {"among": ["direct.cot"]}},
            "promote.among: no condition 'direct.cot'; there are base.direct, direct.direct, cot.cot, cot-s1.cot",
        ),
        ({"promote": {"among": ["direct-s1.direct"]}}, "'direct-s1.direct' is one of several seeds, which are judged as one; name 'direct.direct'"),
        (
            {"promote": {"among": ["cot.cot"]}, "choose": {"conditions": ["base.direct"]}},
            "promote.among: no condition 'cot.cot'; there are base.direct",
        ),
    ],
)
def test_a_mistake_is_one_line(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_config(RAW | sections, "run.toml")
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_family_of_one_seed_goes_by_either_name() -> None:
    among = ["direct.direct", "cot.cot", "cot-s1.cot"]
    assert parse_config(RAW | {"promote": {"among": among}}, "t").promote.among == among
