"""Schemas of the evaluator service, and of `scores.json`."""

from pydantic import Field

from askback.contracts.measures import Comparison, ConditionScore, Metric, Overlap, PooledScore
from askback.contracts.records import Record

_RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class ScoreRequest(Record):
    """Score every file in the run's `predictions/` against its `samples/dev.jsonl`."""

    run_id: str = Field(pattern=_RUN_ID)
    task: str
    seed: int = 0
    """Seed of the bootstrap."""
    wait: bool | None = None
    """Score before answering (true), hand to a worker (false), or as the size of the run suggests (null)."""


class Scores(Record):
    """Everything measured in a run."""

    task: str
    n: int
    majority: float
    """Accuracy of always giving the commonest gold answer."""
    conditions: list[ConditionScore]
    comparisons: list[Comparison]
    """Every pair of conditions that are in no pool of several seeds."""
    pooled: list[PooledScore] = Field(default_factory=list)
    """Conditions of several seeds, each family of adapters, mode and resolver as one."""
    pooled_comparisons: list[Comparison] = Field(default_factory=list)
    """Every pair of `pooled`, and of a pool with a condition of one training; Holm-adjusted among themselves."""
    overlaps: list[Overlap] = Field(default_factory=list)
    """Empty where the run's folder has nothing to compare with."""


class ScoreJob(Record):
    id: str
    state: str
    """`queued`, `running`, `done` or `failed`."""
    scores: Scores | None = None
    error: str = ""
    error_kind: str = "ServiceError"


class LeaderboardRow(Record):
    """A condition of a run that was scored."""

    run_id: str
    task: str
    condition: str
    n: int
    metric: Metric
    """The primary metric."""
    usd: float | None = None
    """Mean dollars a question; None where the run was scored without costs."""
    latency_p50_s: float | None = None
    unparsable: int
    failed: int
    scored_at: str
    """UTC, ISO 8601."""


class Leaderboard(Record):
    """Conditions of all runs, the highest primary metric first within a task; gold resolvers after the others."""

    rows: list[LeaderboardRow]
    left_out: dict[str, str] = Field(default_factory=dict)
    """Runs whose scores cannot be read, by run id, with the reason."""


class ReportRequest(Record):
    """Write `report.html`, `report.md`, figures and `slides.pptx` into the run's folder from what lies there."""

    run_id: str = Field(pattern=_RUN_ID)


class ReportResponse(Record):
    files: list[str]
    """Paths relative to the run's folder."""
