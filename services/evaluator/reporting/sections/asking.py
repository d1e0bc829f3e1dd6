"""What the student's questions are worth, and whether its probabilities mean what they say."""

from askback.contracts.measures import Asking, ConditionScore, Metric
from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Figure, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.wording import decimal, p_value, percent, points

_CHANGES = ("fixed", "broken", "kept right", "kept wrong")


def asking_section(facts: RunFacts) -> Section | None:
    """Gain, quality of the questions, and what the exchange did to the drafts; None where no condition asks."""
    asked = [(score, score.asking) for score in facts.scores.conditions if score.asking]
    if not asked:
        return None
    blocks: list[Block] = []
    if gains := [_gain(score, one) for score, one in asked if one.gain]:
        header = ["condition", "against", "n", "gain in points [95 %]", "p", "p (Holm)", "US dollars per point", "verdict"]
        blocks.append(Table("Clarification gain: with answers minus without", header, gains, "scores.json: conditions[].asking.gain"))
    header = ["condition", "rows", "questions a row", "answered", "novel", "leak the answer", "similar to gold", "gold covered"]
    rows = [[f"`{score.condition.name}`", str(one.rows), *_quality(one)] for score, one in asked]
    blocks.append(Table("The questions, with 95 % intervals", header, rows, "scores.json: conditions[].asking"))
    said = (
        "Answered: got an answer other than *I do not know*. Novel: repeats neither the original question nor another of its row. "
        "Leak: tells the gold answer. Similar: best unigram F1 with a gold sub-question; covered: the same from gold's side."
    )
    if any(score.condition.mode == "tutored" for score, _ in asked):
        said += " In mode `tutored` the questions are the teacher's, a yardstick for the student's."
    blocks.append(Paragraph(said.replace("*", '"')))
    if any(one.changed for _, one in asked):
        changes = [[f"`{score.condition.name}`", *(str(one.changed.get(name, 0)) for name in _CHANGES)] for score, one in asked]
        blocks.append(Table("Drafts after the exchange, in rows", ["condition", *_CHANGES], changes, "scores.json: conditions[].asking.changed"))
    return Section("asking", "Asking", blocks)


def calibration_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section | None:
    """Brier score, calibration error and the curve; None for tasks without P(yes)."""
    told = [(score, score.calibration) for score in facts.scores.conditions if score.calibration]
    if not told:
        return None
    rows = [[f"`{score.condition.name}`", decimal(c.brier), f"{c.expected_error:.3f}", str(len(c.bins))] for score, c in told]
    header = ["condition", "Brier score [95 %]", "expected calibration error", "bins"]
    blocks: list[Block] = [Table("Calibration of P(yes)", header, rows, "scores.json: conditions[].calibration")]
    if "calibration" in figures:
        blocks.insert(0, Figure(figures["calibration"]))
    bins = [row for score, _ in told for row in _bins(score)]
    header = ["condition", "P(yes) from", "to", "mean P(yes)", "gold yes [95 %]", "n"]
    blocks.append(Table("Bins", header, bins, "scores.json: conditions[].calibration.bins", folded=True))
    return Section("calibration", "Calibration", blocks)


def _gain(score: ConditionScore, one: Asking) -> list[str]:
    gain = one.gain
    assert gain is not None
    usd = "–" if one.usd_per_point is None else f"{one.usd_per_point:.6f}"
    measured = [str(gain.n), points(gain).replace(" points", ""), p_value(gain.p_value), p_value(gain.p_adjusted)]
    return [f"`{score.condition.name}`", f"`{one.against}`", *measured, usd, gain.verdict]


def _quality(one: Asking) -> list[str]:
    mean = one.questions_per_row
    shares: list[Metric | None] = [one.answered, one.novel, one.leaking, one.similarity, one.coverage]
    return [f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]", *(percent(share) for share in shares)]


def _bins(score: ConditionScore) -> list[list[str]]:
    found = score.calibration.bins if score.calibration else []
    name = f"`{score.condition.name}`"
    return [[name, f"{b.low:.2f}", f"{b.high:.2f}", f"{b.p_yes:.3f}", percent(b.gold_yes), str(b.gold_yes.n)] for b in found]
