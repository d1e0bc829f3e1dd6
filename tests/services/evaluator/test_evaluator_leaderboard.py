"""All scored runs side by side; a broken one is left out with its reason."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from askback.contracts.client import EvaluatorClient
from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import Leaderboard, LeaderboardRow, Scores
from askback.contracts.measures import ConditionScore, Cost, Metric
from askback.contracts.records import Condition
from services.evaluator.leaderboard import leaderboard
from services.evaluator.prometheus_metrics import PrometheusMetrics
from services.evaluator.storage.runs import Runs


def measured(name: str, value: float) -> Metric:
    return Metric(name=name, value=value, stderr=0.05, low=max(0.0, value - 0.1), high=value + 0.1, n=36)


def score(adapter: str, value: float, resolver: str = "none", cost: Cost | None = None) -> ConditionScore:
    mode = "direct" if resolver == "none" else "assisted"
    condition = Condition(adapter=adapter, mode=mode, resolver=resolver)
    return ConditionScore(condition=condition, metrics=[measured("accuracy", value)], unparsable=2, failed=1, cost=cost)


def write(runs_dir: Path, run_id: str, *conditions: ConditionScore, task: str = "strategyqa") -> Path:
    (runs_dir / run_id).mkdir(parents=True)
    file = runs_dir / run_id / "scores.json"
    file.write_text(Scores(task=task, n=36, majority=0.5, conditions=list(conditions), comparisons=[]).model_dump_json())
    return file


def ranked(found: Leaderboard) -> list[tuple[str, str]]:
    return [(row.run_id, row.condition) for row in found.rows]


def test_conditions_are_ranked_within_their_task_with_gold_last(runs_dir: Path) -> None:
    write(runs_dir, "b", score("base", 0.5), score("direct", 0.7), score("dialogue", 0.9, "gold"))
    write(runs_dir, "a", score("base", 0.6), score("dialogue", 0.65, "teacher"))
    write(runs_dir, "h", score("base", 0.2), task="hotpotqa")
    (runs_dir / "unscored").mkdir()
    assert ranked(leaderboard(Runs(runs_dir))) == [
        ("h", "base.direct"),
        ("b", "direct.direct"),
        ("a", "dialogue.assisted.teacher"),
        ("a", "base.direct"),
        ("b", "base.direct"),
        ("b", "dialogue.assisted.gold"),
    ]
    assert ranked(leaderboard(Runs(runs_dir), "hotpotqa")) == [("h", "base.direct")]
    with pytest.raises(InvalidInput, match="unknown task 'chess'"):
        leaderboard(Runs(runs_dir), "chess")


def test_a_row_says_under_what_it_was_measured_and_what_it_cost(runs_dir: Path) -> None:
    cost = Cost(prompt_tokens=measured("t", 0.5), completion_tokens=measured("t", 0.5), usd=measured("usd", 0.25), latency_p50_s=1.5, latency_p95_s=3)
    file = write(runs_dir, "a", score("direct", 0.6, cost=cost), score("base", 0.5))
    os.utime(file, (1e9, 1e9))
    dear, free = leaderboard(Runs(runs_dir)).rows
    assert dear == LeaderboardRow(
        run_id="a",
        task="strategyqa",
        condition="direct.direct",
        n=36,
        metric=measured("accuracy", 0.6),
        usd=0.25,
        latency_p50_s=1.5,
        unparsable=2,
        failed=1,
        scored_at="2001-09-09T01:46:40+00:00",
    )
    assert datetime.fromisoformat(dear.scored_at) == datetime.fromtimestamp(1e9, UTC)
    assert (free.usd, free.latency_p50_s) == (None, None)


def test_broken_runs_are_left_out_with_their_reason(runs_dir: Path, tmp_path: Path) -> None:
    write(runs_dir, "good", score("base", 0.5))
    for name, text in {"torn": '{"task": "strate', "old": '{"accuracy": 1}', "binary": "\udcff", "nan": '{"majority": NaN}'}.items():
        (runs_dir / name).mkdir()
        (runs_dir / name / "scores.json").write_text(text, errors="surrogateescape")
    write(runs_dir, "bare", score("base", 0.5).model_copy(update={"metrics": []}))
    (runs_dir / "folder" / "scores.json").mkdir(parents=True)
    shutil.copytree(runs_dir / "good", tmp_path / "elsewhere")
    (runs_dir / "link").symlink_to(tmp_path / "elsewhere")
    with (runs_dir / "torn" / "scores.json").open("ab") as file:
        file.truncate(1 << 30)
    found = leaderboard(Runs(runs_dir))
    assert ranked(found) == [("good", "base.direct")]
    assert {name: reason.split(": ")[0] for name, reason in found.left_out.items()} == {
        "bare": "bare/scores.json",
        "binary": "binary/scores.json",
        "folder": "folder/scores.json",
        "link": "run_id 'link'",
        "nan": "nan/scores.json",
        "old": "old/scores.json",
        "torn": "torn/scores.json",
    }


def test_no_runs_at_all_is_an_empty_board(runs_dir: Path) -> None:
    assert leaderboard(Runs(runs_dir)) == Leaderboard(rows=[])


async def test_the_route_and_its_client(runs_dir: Path) -> None:
    from services.evaluator.app import create_app
    from services.evaluator.jobs import ScoreQueue
    from services.evaluator.reports import Reports

    write(runs_dir, "a", score("base", 0.5))
    runs, metrics = Runs(runs_dir), PrometheusMetrics(lambda: 2)
    app = create_app(ScoreQueue(runs, None, None, metrics), Reports(runs, lambda run: [], metrics), runs, metrics)  # type: ignore[arg-type]
    async with EvaluatorClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://evaluator")) as client:
        assert await client.leaderboard() == leaderboard(runs)
        assert (await client.leaderboard("hotpotqa")).rows == []
        with pytest.raises(InvalidInput, match="unknown task 'a&b'"):
            await client.leaderboard("a&b")
