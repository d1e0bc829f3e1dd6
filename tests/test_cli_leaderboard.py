"""`askback leaderboard` while no service is up: it starts what it needs, for as long as it needs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from askback.contracts.evaluator import Leaderboard, Scores
from askback.contracts.measures import ConditionScore, Metric
from askback.contracts.records import Condition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    metric = Metric(name="accuracy", value=0.625, stderr=0.05, low=0.5, high=0.75, n=40)
    score = ConditionScore(condition=Condition(adapter="base", mode="direct"), metrics=[metric], unparsable=1, failed=2)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    scores = Scores(task="strategyqa", n=40, majority=0.5, conditions=[score], comparisons=[])
    (tmp_path / "runs" / "first" / "scores.json").write_text(scores.model_dump_json())
    (tmp_path / "runs" / "torn").mkdir()
    (tmp_path / "runs" / "torn" / "scores.json").write_text("{")
    return tmp_path


def board(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ASKBACK_PORT": "18910", "ASKBACK_HOME": str(folder / "var"), "COLUMNS": "60"}
    for name in ("EVALUATOR_URL", "RUNS_DIR"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "askback.cli", "leaderboard", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_table_without_colour_outside_a_terminal(folder: Path) -> None:
    done = board(folder)
    assert done.returncode == 0, done.stderr
    title, header, row = (line.rstrip() for line in done.stdout.splitlines())
    assert title == "strategyqa"
    assert re.split(r"  +", header)[:4] == ["run", "condition", "metric", "score"]
    assert re.split(r"  +", row)[:10] == ["first", "base.direct", "accuracy", "62.5", "50.0 to 75.0", "40", "–", "–", "1", "2"]
    assert "\x1b" not in done.stdout
    assert "left out: torn: torn/scores.json: row: Invalid JSON" in done.stderr


def test_json_and_a_task_that_does_not_exist(folder: Path) -> None:
    found = Leaderboard.model_validate(json.loads(board(folder, "--json").stdout))
    assert [(row.run_id, row.condition, row.unparsable) for row in found.rows] == [("first", "base.direct", 1)]
    assert list(found.left_out) == ["torn"]
    wrong = board(folder, "--task", "chess")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "askback: unknown task 'chess'; known tasks: strategyqa, hotpotqa\n"
