"""The trainer benchmark's claims, its rows, and a run of it with a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.trainer_verdict import CASES, ratio, shortfalls

ROOT = Path(__file__).parents[2]
SMALL_MODEL = ROOT / "var" / "models" / "SmolLM2-135M-Instruct"
BY_NAME = {case.name: case for case in CASES}


def test_reaching_every_bound_misses_nothing() -> None:
    for case in CASES:
        ours = {"tokens_per_s": max(case.least_tokens_per_s, case.least_ratio * 1000, 1), "peak_gib": case.most_gib or 100}
        assert shortfalls(case, ours, {"tokens_per_s": 1000}) == []


@pytest.mark.parametrize(
    ("name", "ours", "said"),
    [
        ("strategyqa-8gb", {"tokens_per_s": 2000, "peak_gib": 7.51}, "strategyqa-8gb: peak 7.51 GiB, above 7.5"),
        ("hotpotqa-24gb", {"tokens_per_s": 1990, "peak_gib": 20}, "hotpotqa-24gb: 1.99 times TRL's defaults, below 2.0"),
        ("h200-long", {"tokens_per_s": 11999, "peak_gib": 100}, "h200-long: 11999 tokens/s, below 12000"),
    ],
)
def test_one_figure_below_its_bound_is_named(name: str, ours: dict[str, float], said: str) -> None:
    assert shortfalls(BY_NAME[name], ours, {"tokens_per_s": 1000}) == [said]


def test_a_peer_that_ran_out_of_memory_gives_no_ratio() -> None:
    ours = {"tokens_per_s": 500, "peak_gib": 7}
    assert ratio(ours, {"out_of_memory": True}) is None
    assert shortfalls(BY_NAME["strategyqa-8gb"], ours, {"out_of_memory": True}) == []


@pytest.mark.skipif(not SMALL_MODEL.is_dir(), reason="var/models has no small model; `make unit` builds it")
def test_rows_have_the_lengths_that_are_asked_for() -> None:
    from benchmarks.trainer_model import rows_of
    from services.trainer.model.transformers_model import HubTokenizer

    tokenizer = HubTokenizer(str(SMALL_MODEL))
    rows = rows_of(tokenizer, 60, 128, 40)
    lengths = [len(tokenizer.encode(tokenizer.render([*row.prompt, *row.replies["completion"]], generation_prompt=False))) for row in rows]
    assert min(lengths) >= 60 and max(lengths) <= 128 and len(set(lengths)) > 10
    assert rows == rows_of(tokenizer, 60, 128, 40), "both sides must train on the same rows"


@pytest.mark.e2e
@pytest.mark.skipif(not SMALL_MODEL.is_dir(), reason="var/models has no small model; `make unit` builds it")
def test_it_runs_both_sides_with_a_tiny_model(tmp_path: Path) -> None:
    options = ["--tokenizer", str(SMALL_MODEL), "--model", str(tmp_path / "model"), "--tiny", "--steps", "2", "--cases", "strategyqa-8gb"]
    done = subprocess.run([sys.executable, "benchmarks/trainer.py", *options], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ratio"]["strategyqa-8gb"] > 0
    assert result["ours"]["strategyqa-8gb"]["steps"] == result["peer"]["strategyqa-8gb"]["steps"] == 2
