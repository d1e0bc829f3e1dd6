"""Differences between conditions, and what the trainings' seeds do to them."""

from collections.abc import Sequence

from askback.contracts.measures import Comparison
from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Figure, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import BASE, TARGET_POINTS, shown_comparisons
from services.evaluator.reporting.wording import METRIC_NAMES, counted, p_value, percent, points

_GOAL = TARGET_POINTS[0]
_HEADER = ["b − a", "n", "points [95 %]", "p", "p (Holm)", f"p (+{_GOAL} points)", "needed n", "verdict"]


def comparisons_section(facts: RunFacts) -> Section | None:
    """The pairs that matter in the open, all pairs folded; None with one condition."""
    found, shown = facts.scores.comparisons, shown_comparisons(facts.scores)
    if not found:
        return None
    said = (
        f"{len(shown)} of {counted(len(found), 'pair')}: all against `{BASE}`, and the largest others. `p (+{_GOAL} points)` tests whether the "
        f"difference is the target's lower end: a small one excludes a true gain of {_GOAL} points."
    )
    blocks: list[Block] = [Paragraph(said), Table("Pairs on the same questions", _HEADER, _rows(shown), "scores.json: comparisons[]")]
    if len(found) > len(shown):
        blocks.append(Table(f"All {len(found)} pairs", _HEADER, _rows(found), "scores.json: comparisons[]", folded=True))
    return Section("comparisons", "Comparisons", blocks)


def seeds_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section | None:
    """Conditions with their trainings pooled; None where every adapter was trained once."""
    pools = [pool for pool in facts.scores.pooled if pool.seeds > 1]
    if not pools:
        return None
    name = METRIC_NAMES.get(pools[0].metric.name, pools[0].metric.name)
    rows = [
        [f"`{p.name}`", str(p.seeds), str(p.metric.n), percent(p.metric), f"{100 * p.metric.stderr:.1f}", f"{100 * p.seed_stderr:.1f}"] for p in pools
    ]
    header = ["pool", "seeds", "n", f"{name} [95 %]", "± s.e., questions and seeds", "s.d. between seeds"]
    blocks: list[Block] = [
        Paragraph("Trainings that differ in their seed alone are one condition here. Intervals hold both the choice of questions and that of seeds."),
        Table("Seeds pooled", header, rows, "scores.json: pooled[]"),
    ]
    if "pooled" in figures:
        blocks.insert(1, Figure(figures["pooled"]))
    if found := facts.scores.pooled_comparisons:
        against_base = [c for c in found if BASE in (c.a, c.b)]
        if against_base:
            blocks.append(Table(f"Pools against {BASE}", _HEADER, _rows(against_base), "scores.json: pooled_comparisons[]"))
        blocks.append(Table(f"All {len(found)} pairs of pools", _HEADER, _rows(found), "scores.json: pooled_comparisons[]", folded=True))
    return Section("seeds", "Seeds pooled", blocks)


def _rows(found: Sequence[Comparison]) -> list[list[str]]:
    return [
        [
            f"`{c.b}` − `{c.a}`",
            str(c.n),
            points(c).replace(" points", ""),
            p_value(c.p_value),
            p_value(c.p_adjusted),
            "–" if c.p_target is None else p_value(c.p_target),
            "–" if c.needed_n is None else f"{c.needed_n:,}",
            c.verdict,
        ]
        for c in found
    ]
