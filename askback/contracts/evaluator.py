"""Schemas of the evaluator service, and of `scores.json`."""

from pydantic import Field

from askback.contracts.records import Condition, Record

_RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class ScoreRequest(Record):
    """Score every file in the run's `predictions/` against its `samples/dev.jsonl`."""

    run_id: str = Field(pattern=_RUN_ID)
    task: str
    seed: int = 0
    """Seed of the bootstrap."""


class Metric(Record):
    """A mean over questions in [0, 1] with its uncertainty."""

    name: str
    value: float
    stderr: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    n: int


class ConditionScore(Record):
    condition: Condition
    metrics: list[Metric]
    """The primary metric first."""
    unparsable: int
    """Predictions without a parsable answer, counted as wrong."""
    failed: int
    """Predictions that ended in an error, counted as wrong."""
    yes_rate: float | None = None
    """Share of parsed answers that are yes, for yes/no tasks."""


class Comparison(Record):
    """`b` minus `a` on the same questions."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    """Lower end of the paired bootstrap's 95 % interval."""
    high: float
    p_value: float
    """Exact McNemar test on right/wrong."""
    p_adjusted: float
    """Holm's correction over all comparisons of the run."""
    n: int
    verdict: str


class Scores(Record):
    """Everything measured in a run."""

    task: str
    n: int
    majority: float
    """Accuracy of always giving the commonest gold answer."""
    conditions: list[ConditionScore]
    comparisons: list[Comparison]


class ScoreJob(Record):
    id: str
    state: str
    """`queued`, `running`, `done` or `failed`."""
    scores: Scores | None = None
    error: str = ""
    error_kind: str = "ServiceError"


class ReportRequest(Record):
    """Write `report.md`, plots and `slides.pptx` into the run's folder from what lies there."""

    run_id: str = Field(pattern=_RUN_ID)


class ReportResponse(Record):
    files: list[str]
    """Paths relative to the run's folder."""
