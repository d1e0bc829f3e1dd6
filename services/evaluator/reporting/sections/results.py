"""Every condition's numbers, whole and by parts of the questions."""

from collections.abc import Sequence

from askback.contracts.evaluator import Scores
from askback.contracts.measures import ConditionScore
from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Figure, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import metric
from services.evaluator.reporting.report import majority_text, results_header, results_row
from services.evaluator.reporting.wording import decimal, metric_name, percent


def results_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section:
    """Each condition with its mode, resolver, adapter, n and intervals; other metrics and confusion below."""
    scores = facts.scores
    note = f"A condition's name is adapter.mode, with the resolver behind it where the student asks. Majority baseline: {majority_text(scores)}."
    rows = [_coded(results_row(score)) for score in scores.conditions]
    blocks: list[Block] = [
        Figure(figures["accuracy"]),
        Table("Results with 95 % intervals", results_header(scores), rows, "scores.json: conditions[]"),
        Paragraph(note),
    ]
    return Section("results", "Results", [*blocks, *_others(scores), *_confusion(scores.conditions)])


def slices_section(facts: RunFacts) -> Section | None:
    """The primary metric by question type, hops, answer type and level; None without slices."""
    blocks: list[Block] = []
    name = metric_name(facts.scores.conditions[0].metrics[0].name)
    for kind in dict.fromkeys(part.by for score in facts.scores.conditions for part in score.slices):
        sizes = {part.value: part.metrics[0].n for score in facts.scores.conditions for part in score.slices if part.by == kind}
        rows = [[f"`{score.condition.name}`", *(_slice(score, kind, value) for value in sizes)] for score in facts.scores.conditions]
        header = ["condition", *(f"{value} (n = {n})" for value, n in sizes.items())]
        blocks.append(Table(f"{name[0].upper()}{name[1:]} by {kind} [95 %]", header, rows, "scores.json: conditions[].slices[]"))
    return Section("slices", "By parts of the questions", blocks) if blocks else None


def _others(scores: Scores) -> list[Block]:
    """Metrics that the first table has no column for."""
    shown = (scores.conditions[0].metrics[0].name, "balanced_accuracy")
    names = [name for name in dict.fromkeys(m.name for score in scores.conditions for m in score.metrics) if name not in shown]
    if not names:
        return []
    rows = [[*_coded(results_row(score))[:5], *(_other(score, name) for name in names)] for score in scores.conditions]
    header = [*results_header(scores)[:5], *(f"{metric_name(name)} [95 %]" for name in names)]
    return [Table("Other metrics with 95 % intervals", header, rows, "scores.json: conditions[].metrics[]")]


def _other(score: ConditionScore, name: str) -> str:
    """With its own n where that is not the table's."""
    found = metric(score, name)
    if found and name == "brier":
        return decimal(found)
    return percent(found) + (f", n = {found.n}" if found and found.n != score.metrics[0].n else "")


def _confusion(conditions: Sequence[ConditionScore]) -> list[Block]:
    keys = dict.fromkeys(key for score in conditions for key in score.confusion)
    if not keys:
        return []
    rows = [[f"`{score.condition.name}`", str(score.metrics[0].n), *(str(score.confusion.get(key, 0)) for key in keys)] for score in conditions]
    header = ["condition", "n", *(f"gold {key.replace('_', ', said ', 1)}" for key in keys)]
    return [Table("Confusion: questions by gold and said answer", header, rows, "scores.json: conditions[].confusion", folded=True)]


def _slice(score: ConditionScore, by: str, value: str) -> str:
    found = next((part.metrics[0] for part in score.slices if (part.by, part.value) == (by, value)), None)
    return percent(found)


def _coded(row: list[str]) -> list[str]:
    return [f"`{row[0]}`", *row[1:]]
