"""An adapter with `seeds` is trained once a seed, and whatever names it means all of them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Condition
from askback.contracts.trainer import TrainRequest
from askback.loop.config import RunConfig, dump_toml, overridden, parse_config
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore

ROOT = Path(__file__).parents[2]
SEEDS = [13, 14, 15]
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "seed": 3,
    "adapters": [
        {"name": "direct", "track": "direct", "seeds": SEEDS, "recipe": {"epochs": 5}},
        {"name": "cot", "track": "cot"},
        {"name": "dpo", "track": "preference", "method": "dpo", "init": "direct", "seeds": [14, 15]},
    ],
    "evaluate": {"conditions": ["base.direct", "direct.direct", "direct-s13.context.gold", "cot.cot", "dpo.assisted.none"]},
}


def changed(**fields: Any) -> dict[str, Any]:
    return RAW | fields


def test_each_seed_is_an_adapter_of_its_own() -> None:
    adapters = parse_config(RAW, "t").adapters
    assert [(one.name, one.family, one.seed, one.init) for one in adapters] == [
        ("direct-s13", "direct", 13, ""),
        ("direct-s14", "direct", 14, ""),
        ("direct-s15", "direct", 15, ""),
        ("cot", "", None, ""),
        ("dpo-s14", "dpo", 14, "direct-s14"),
        ("dpo-s15", "dpo", 15, "direct-s15"),
    ]
    assert [one.recipe for one in adapters[:3]] == [{"epochs": 5}] * 3


def test_conditions_that_name_the_family_are_those_of_all_seeds() -> None:
    conditions = parse_config(RAW, "t").evaluate.conditions
    assert [one.name for one in conditions] == [
        "base.direct",
        *(f"direct-s{seed}.direct" for seed in SEEDS),
        "direct-s13.context.gold",
        "cot.cot",
        "dpo-s14.assisted.none",
        "dpo-s15.assisted.none",
    ]
    assert conditions[1] == Condition(adapter="direct-s13", mode="direct", family="direct", seed=13)
    assert conditions[4] == Condition(adapter="direct-s13", mode="context", resolver="gold", family="direct", seed=13)
    assert {one.pool for one in conditions[1:4]} == {"direct.direct"}
    assert (conditions[5].family, conditions[5].seed) == ("", None)


def test_what_is_written_out_survives_its_own_toml_and_the_command_lines_options() -> None:
    config = parse_config(RAW, "t")
    assert parse_config(tomllib.loads(dump_toml(config)), "dump") == config
    assert overridden(config) == config


def test_an_adapter_may_start_from_one_training_of_a_family() -> None:
    dpo = {"name": "dpo", "track": "preference", "method": "dpo", "init": "direct-s13"}
    config = parse_config(changed(adapters=[RAW["adapters"][0], dpo], evaluate={"conditions": ["dpo.direct"]}), "t")
    assert config.adapters[-1].init == "direct-s13"
    several = parse_config(
        changed(
            adapters=[{"name": "a", "track": "direct"}, dpo | {"init": "a", "seeds": [1, 2]}],
            evaluate=RAW["evaluate"] | {"conditions": ["dpo.direct"]},
        ),
        "t",
    )
    assert [one.init for one in several.adapters] == ["", "a", "a"]


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        ([{"name": "a", "track": "direct", "seeds": []}], "'a': seeds: give different whole numbers"),
        ([{"name": "a", "track": "direct", "seeds": [1, 1]}], "'a': seeds: give different whole numbers"),
        ([{"name": "a", "track": "direct", "seeds": [-1]}], "'a': seeds: give different whole numbers"),
        ([{"name": "a", "track": "direct", "seeds": "1"}], "'a': seeds: give different whole numbers"),
        ([{"name": "a", "track": "direct", "seeds": [True]}], "'a': seeds: give different whole numbers"),
        ([{"name": "a", "track": "direct", "seeds": [1], "seed": 2}], "no `seed` beside them"),
        ([{"name": "a", "track": "direct", "seeds": [1]}, {"name": "a", "track": "direct", "seeds": [2]}], "the name 'a' is taken"),
        ([{"name": "a", "track": "direct", "seeds": [1]}, {"name": "a", "track": "direct"}], "the name 'a' is taken"),
        ([{"name": "base", "track": "direct", "seeds": [1]}], "the name 'base-s1' is taken"),
        ([{"track": "direct", "seeds": [1]}], "adapters.0.name: Field required"),
        (
            [{"name": "a", "track": "direct", "seeds": [1, 2]}, {"name": "b", "track": "preference", "method": "dpo", "init": "a", "seeds": [2, 3]}],
            "'b' starts from 'a', which is not trained with seed 3; give both the same seeds",
        ),
        (
            [{"name": "a", "track": "direct", "seeds": [1, 2]}, {"name": "b", "track": "preference", "method": "dpo", "init": "a"}],
            "'b' starts from 'a', which has several seeds; give it the same seeds, or init 'a-s1'",
        ),
    ],
)
def test_a_mistake_in_seeds_is_one_line(adapters: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_config(changed(adapters=adapters, evaluate={"conditions": ["base.direct"]}), "run.toml")
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_bad_mode_of_a_family_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'direct-s13\.dance' is not ADAPTER\.MODE"):
        parse_config(changed(evaluate={"conditions": ["direct.dance"]}), "t")


def short_run(tmp_path: Path, services: Services) -> Run:
    data = {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 30, "dev": 8}
    adapters = [RAW["adapters"][0] | {"seeds": [5, 6], "recipe": {}}, RAW["adapters"][2] | {"seeds": [5, 6]}]
    config: RunConfig = parse_config(changed(data=data, adapters=adapters, evaluate={"conditions": ["base.direct", "direct.direct"]}), "t")
    return Run(config, RunStore(tmp_path / "runs", "r1"), services, Reporter())


async def test_every_seed_is_trained_with_itself_and_measured(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    run = short_run(tmp_path, services)
    await run.until("promote")
    submitted: list[TrainRequest] = services.trainer.submitted  # type: ignore[attr-defined]
    assert [(one.name, one.seed, one.init_adapter) for one in submitted] == [
        ("direct-s5", 5, ""),
        ("direct-s6", 6, ""),
        ("dpo-s5", 5, "adapters/direct-s5"),
        ("dpo-s6", 6, "adapters/direct-s6"),
    ]
    described = Condition.model_validate_json(run.store.path("predictions", "direct-s6.direct.condition.json").read_text())
    assert (described.family, described.seed) == ("direct", 6)
    calls = len(engine.calls)
    await short_run(tmp_path, services).until("promote")
    assert (len(engine.calls), len(submitted)) == (calls, 4)
