"""The evaluator benchmark with few rows, which no claim depends on."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_runs_with_few_rows() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/evaluator.py", "--rows", "60"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if result["ok"] else 1), done.stderr
    assert result["rows"] == 60 and result["peer"]["name"] == "scipy.stats.bootstrap"
    assert min(result["ours"]["scoring_s"], *result["ours"]["bootstrap_s"].values(), *result["ratio"].values()) > 0
    assert max(result["apart_in_standard_errors"].values()) < 0.4
