"""The study's configurations: as many trainings as they say, and rounds that hold out the same rows and choose before dev."""

from collections import Counter
from pathlib import Path

import pytest

from askback.loop.config import RunConfig, load_config

CONFIGS = Path(__file__).parents[1] / "configs"
FIRST, *ROUNDS = ("strategyqa-smollm2", "strategyqa-smollm2-round2", "strategyqa-smollm2-round3")


def config(name: str) -> RunConfig:
    return load_config(CONFIGS / f"{name}.toml")


@pytest.mark.parametrize(
    ("name", "trainings", "chosen_by", "on_dev"), [(FIRST, 122, 165, 118), *((name, 40, 72, 72) for name in ROUNDS)], ids=[FIRST, *ROUNDS]
)
def test_a_round_is_as_large_as_its_file_says(name: str, trainings: int, chosen_by: int, on_dev: int) -> None:
    run = config(name)
    assert (len(run.adapters), len(run.choose.conditions), len(run.evaluate.conditions)) == (trainings, chosen_by, on_dev)
    assert run.train.at_once == 8
    assert f"{trainings}" in (CONFIGS / f"{name if name == FIRST else ROUNDS[0]}.toml").read_text()


def test_every_adapter_is_measured_and_has_its_seeds() -> None:
    for name in (FIRST, *ROUNDS):
        run = config(name)
        measured = {condition.adapter for condition in run.choose.conditions}
        assert measured >= {adapter.name for adapter in run.adapters}
        seeds = Counter(adapter.family for adapter in run.adapters)
        assert set(seeds.values()) <= {3, 5} and seeds["direct"] == 5


def test_what_may_be_promoted_is_measured_on_dev_too() -> None:
    for name in (FIRST, *ROUNDS):
        run = config(name)
        on_dev = {condition.pool for condition in run.evaluate.conditions}
        assert {*run.promote.among} <= on_dev


def test_rounds_follow_each_other_on_the_same_rows_and_recipe() -> None:
    runs = [config(name) for name in (FIRST, *ROUNDS)]
    assert [run.previous for run in runs] == ["", FIRST, ROUNDS[0]]
    for run in runs[1:]:
        assert (run.data, run.seed, run.recipe, run.base_model) == (runs[0].data, runs[0].seed, runs[0].recipe, runs[0].base_model)
        assert run.promote.baseline == "previous.direct"
