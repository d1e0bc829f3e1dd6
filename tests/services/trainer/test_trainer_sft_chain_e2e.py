"""SFT that goes on from an adapter of the run: it starts from that adapter's weights, not from the base."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from trainer_process import Bench, losses

from askback.contracts.trainer import Job, JobState, Recipe, TrainRequest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RECIPE = Recipe(epochs=20, learning_rate=5e-3, lora_rank=4, batch_size=4, max_length=64)
FIRST = TrainRequest(run_id="r1", name="first", dataset="sft.jsonl", recipe=RECIPE, seed=3)
STILL = RECIPE.model_copy(update={"epochs": 1.0, "learning_rate": 1e-9, "lora_rank": 8})
"""Steps too small to move a weight."""
CHAINED = FIRST.model_copy(update={"name": "chained", "init_adapter": "adapters/first", "recipe": STILL, "seed": 4})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("chain"), rows=20)


@pytest.fixture(scope="module")
def trained(bench: Bench) -> dict[str, Job]:
    moved = CHAINED.model_copy(update={"name": "moved", "recipe": RECIPE.model_copy(update={"epochs": 2.0})})
    fresh = CHAINED.model_copy(update={"name": "fresh", "init_adapter": ""})
    return {request.name: bench.train(request) for request in (FIRST, CHAINED, moved, fresh)}


def weights(adapter: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(adapter / "adapter_model.safetensors"))


def farthest(a: dict[str, Any], b: dict[str, Any]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].float() - b[name].float()).abs().max()) for name in a)


def test_its_first_loss_is_where_the_earlier_training_ended(trained: dict[str, Job]) -> None:
    assert {job.state for job in trained.values()} == {JobState.DONE}
    ended, went_on, anew = (statistics.fmean(losses(trained[name])[-5:]) for name in ("first", "chained", "fresh"))
    assert went_on == pytest.approx(ended, abs=0.1)
    assert anew > went_on + 0.5


def test_its_weights_are_the_earlier_ones_until_it_learns(bench: Bench, trained: dict[str, Job]) -> None:
    first, chained, moved = (weights(bench.adapter(name)) for name in ("first", "chained", "moved"))
    assert farthest(first, chained) < 1e-5
    assert farthest(first, moved) > 1e-3


def test_its_record_names_what_it_started_from(bench: Bench, trained: dict[str, Job]) -> None:
    assert bench.manifest("chained")["init_adapter_sha256"] == bench.manifest("first")["weights_sha256"]
