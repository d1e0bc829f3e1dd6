"""The conditions of all scored runs side by side."""

from datetime import UTC, datetime

from askback.contracts.errors import InvalidInput, ServiceError
from askback.contracts.evaluator import Leaderboard, LeaderboardRow, Scores
from askback.contracts.measures import ConditionScore
from askback.tasks import task_named
from services.evaluator.storage.run_folder import RunFolder
from services.evaluator.storage.runs import Runs

Ranked = tuple[tuple[str, bool, float, str, str], LeaderboardRow]
"""A row behind what it is sorted by."""


def leaderboard(runs: Runs, task: str = "") -> Leaderboard:
    """Every run's conditions, of one task or of all; a run whose scores cannot be read is left out with the reason.

    Raises InvalidInput for a task that does not exist.
    """
    if task:
        task_named(task)
    rows: list[Ranked] = []
    left_out: dict[str, str] = {}
    for run_id in runs.scored():
        try:
            found = _rows(runs.open(run_id))
        except (ServiceError, OSError) as error:
            left_out[run_id] = str(error)
            continue
        rows += [row for row in found if task in ("", row[1].task)]
    return Leaderboard(rows=[row for _, row in sorted(rows, key=lambda ranked: ranked[0])], left_out=left_out)


def _rows(run: RunFolder) -> list[Ranked]:
    scores = run.written_scores()
    scored_at = datetime.fromtimestamp(run.scores_file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return [_row(run.run_id, scores, score, scored_at) for score in scores.conditions]


def _row(run_id: str, scores: Scores, score: ConditionScore, scored_at: str) -> Ranked:
    if not score.metrics:
        raise InvalidInput(f"{run_id}/scores.json: condition {score.condition.name!r} has no metrics; score the run again")
    first, cost = score.metrics[0], score.cost
    row = LeaderboardRow(
        run_id=run_id,
        task=scores.task,
        condition=score.condition.name,
        n=first.n,
        metric=first,
        usd=cost.usd.value if cost else None,
        latency_p50_s=cost.latency_p50_s if cost else None,
        unparsable=score.unparsable,
        failed=score.failed,
        scored_at=scored_at,
    )
    return (scores.task, score.condition.yardstick, -first.value, run_id, row.condition), row
