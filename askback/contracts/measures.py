"""What the evaluator measures: a mean with its uncertainty, and what is read off a set of predictions."""

from pydantic import Field

from askback.contracts.records import Condition, Record


class Metric(Record):
    """A mean over questions with its uncertainty; in [0, 1] where its name does not say otherwise."""

    name: str
    value: float
    stderr: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    n: int


class Slice(Record):
    """The metrics of a part of the questions."""

    by: str
    """`question type`, `hops`, `answer type` or `level`."""
    value: str
    metrics: list[Metric]
    """The primary metric first."""


class CalibrationBin(Record):
    """The questions whose P(yes) lies in [`low`, `high`)."""

    low: float
    high: float
    p_yes: float
    """Mean P(yes) of its questions."""
    gold_yes: Metric
    """Share of them whose gold answer is yes."""


class Calibration(Record):
    """Whether P(yes) means what it says, over the predictions that have one."""

    brier: Metric
    expected_error: float
    """Expected calibration error: mean distance of a bin's P(yes) from its share of yes, weighted by its questions."""
    bins: list[CalibrationBin]
    """Bins without questions are left out."""


class Cost(Record):
    """What the predictions cost."""

    prompt_tokens: Metric
    """Mean tokens a question, draft and all answers of the exchange included."""
    completion_tokens: Metric
    usd: Metric
    """Mean dollars a question."""
    latency_p50_s: float
    latency_p95_s: float


class Comparison(Record):
    """`b` minus `a` on the same questions."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    """Lower end of the 95 % interval: the paired bootstrap's, or that of the pooled test."""
    high: float
    p_value: float
    """Exact McNemar test on right/wrong; for pools of seeds the pooled test's."""
    p_adjusted: float
    """Holm's correction over all comparisons of the run."""
    n: int
    verdict: str
    seeds: int = 1
    """Trainings on the side that has more of them."""
    p_target: float | None = None
    """Two-sided p of the paired test that the difference is the target's lower end, +10 points."""
    needed_n: int | None = None
    """Questions that would give 80 % power for a difference this large; None where none is measured or it is shown already."""


class Asking(Record):
    """What the questions that were put are worth, over the predictions that hold a draft. Shares are of questions.

    They are the student's, in mode `tutored` the teacher's.
    """

    rows: int
    """Predictions with a draft."""
    questions_per_row: Metric
    """Not in [0, 1]."""
    answered: Metric | None = None
    """Share that got an answer which is not "I do not know" or empty."""
    novel: Metric | None = None
    """Share that neither restates the original question nor repeats another question of the row."""
    leaking: Metric | None = None
    """Share that tells the gold answer."""
    similarity: Metric | None = None
    """Mean over questions of the best unigram F1 with a gold sub-question."""
    coverage: Metric | None = None
    """Mean over gold sub-questions of the best unigram F1 with a question of the student."""
    against: str = ""
    """The condition that `gain` is measured against: the same adapter and mode without answers, else the same adapter's direct mode."""
    gain: Comparison | None = None
    """Clarification gain: this condition minus `against`."""
    usd_per_point: float | None = None
    """Dollars per question that a point of gain costs; None without a positive gain."""
    changed: dict[str, int] = Field(default_factory=dict)
    """Rows by what the exchange did to the draft's answer: `fixed`, `broken`, `kept right`, `kept wrong`."""


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
    confusion: dict[str, int] = Field(default_factory=dict)
    """Counts by `<gold>_<predicted>` for tasks with a closed set of answers; predicted may be `unparsable` or `failed`."""
    slices: list[Slice] = Field(default_factory=list)
    calibration: Calibration | None = None
    cost: Cost | None = None
    asking: Asking | None = None


class PooledScore(Record):
    """A condition over several trainings that differ in their seed alone."""

    name: str
    """The condition's name with the adapter's family in place of the adapter."""
    conditions: list[str]
    metric: Metric
    """The primary metric; its standard error holds both the choice of questions and that of seeds. `n` counts questions."""
    seeds: int
    seed_stderr: float
    """Standard deviation of the seeds' means."""


class Overlap(Record):
    """Words that the test questions share with what was trained on or prompted with."""

    against: str
    """`train` questions, `prompts` (the texts of this task's prompts) or the name of a track."""
    ngram: int
    """Words of a run."""
    rows: int
    """Rows on that side."""
    contaminated: int
    """Test questions that share at least one run of so many words, or are the same in a shorter one."""
    examples: list[tuple[str, str, str]] = Field(default_factory=list)
    """(test id, other id, the shared run), a few."""
