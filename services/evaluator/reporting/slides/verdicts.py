"""What may be concluded: the worth of asking, the comparisons, the overlap with what was trained on."""

from collections.abc import Sequence

from askback.contracts.measures import Asking, Comparison, Metric, Overlap
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import BASE, shown_comparisons
from services.evaluator.reporting.slides.building import said, table_slides
from services.evaluator.reporting.slides.measure import clipped, short
from services.evaluator.reporting.slides.page import Slide
from services.evaluator.reporting.wording import p_value, points
from services.evaluator.stats.paired import ALPHA

_SHOWN = 18


def asking_slides(facts: RunFacts) -> list[Slide]:
    """Gain first, then the quality of the questions."""
    told = [(score.condition.name, score.asking) for score in facts.scores.conditions if score.asking]
    if not told:
        return []
    gains = [(name, one, one.gain) for name, one in told if one.gain]
    own = {score.condition.name for score in facts.scores.conditions if score.condition.mode != "tutored"}
    header = ["condition", "against", "gain in points [95 %]", "p (Holm)", "USD a point", "n for 80 %", "verdict"]
    rows = [[name, one.against, _points(g), p_value(g.p_adjusted), _usd(one), _needed(g), _gain_word(g)] for name, one, g in gains]
    note = "Gain: the condition minus the same without answers, or minus the adapter's direct mode, on the same questions; Holm over the gains."
    note += " n for 80 %: questions that would show a gain this large with 80 % power."
    made = table_slides(
        _gain_title([gain for gain in gains if gain[0] in own]), header, rows, note, "scores.json: conditions[].asking.gain, usd_per_point."
    )
    header = ["condition", "rows", "questions a row", "answered", "novel", "leaking", "similar to gold", "gold covered", "fixed", "broken"]
    shares = [[name, str(one.rows), f"{one.questions_per_row.value:.2f}", *(_share(m) for m in _quality(one)), *_changed(one)] for name, one in told]
    note = "In % with 95 % intervals. Novel: neither the question again nor a repetition. Leaking: tells the gold answer. "
    note += "Similar and covered: unigram F1 with the gold sub-questions, from either side. "
    note += "Fixed and broken: rows whose draft was wrong and became right, and the reverse."
    if own != {score.condition.name for score in facts.scores.conditions}:
        note += " In mode tutored the questions are the teacher's."
    return made + table_slides(_quality_title([one for one in told if one[0] in own]), header, shares, note, "scores.json: conditions[].asking.")


def comparison_slides(facts: RunFacts) -> list[Slide]:
    """The largest differences to the untrained student, then the largest others; no slide where seeds make pools of all the others."""
    scores = facts.scores
    if not scores.comparisons:
        return []
    ranked = sorted(shown_comparisons(scores), key=lambda c: (c.a != BASE, -abs(c.difference)))[:_SHOWN]
    shown = sum(c.p_adjusted < ALPHA for c in scores.comparisons)
    title = f"{said(shown)} of {len(scores.comparisons)} pairs of conditions {'differs' if shown < 2 else 'differ'}"
    note = (
        f"{len(ranked)} of {len(scores.comparisons)} pairs, those with {BASE} first; all are in scores.json. "
        "Paired bootstrap; exact McNemar test, then Holm over all pairs. "
        "p (+10): of the test that the difference is +10 points. n for 80 %: questions that would show a difference this large with 80 % power."
    )
    return _compared(ranked, title, note, "scores.json: comparisons[].")


def pooled_comparison_slides(comparisons: Sequence[Comparison]) -> list[Slide]:
    """Pairs with their seeds pooled."""
    several = sorted((c for c in comparisons if c.seeds > 1), key=lambda c: (BASE not in (c.a, c.b), -abs(c.difference)))[:_SHOWN]
    shown = sum(c.p_adjusted < ALPHA for c in several)
    title = f"With seeds pooled, {said(shown).lower()} of {len(several)} pairs {'differs' if shown < 2 else 'differ'}"
    note = f"{len(several)} pairs in which at least one side was trained more than once. The interval holds questions and seeds both."
    return _compared(several, title, note, "scores.json: pooled_comparisons[].")


def overlap_slides(overlaps: Sequence[Overlap], n: int) -> list[Slide]:
    """Test questions that share words with what was trained on or prompted with."""
    if not overlaps:
        return []
    rows = [[o.against, f"{o.rows:,}", str(o.ngram), f"{o.contaminated} of {n}", _example(o)] for o in overlaps]
    worst = max(overlaps, key=lambda o: o.contaminated)
    title = f"No test question shares a run of {worst.ngram} words with training"
    if worst.contaminated:
        title = f"{worst.contaminated} of {n} test questions share a run of {worst.ngram} words with {short(worst.against, 30)}"
    header = ["against", "rows", "words in a row", "test questions", "example"]
    if not any(o.examples for o in overlaps):
        header, rows = header[:-1], [row[:-1] for row in rows]
    note = "A shorter question counts when it is the same as a whole. Words are lowercased, without punctuation."
    return table_slides(title, header, rows, note, "scores.json: overlaps[]. Texts: samples/*.jsonl, tracks/*.jsonl and the task's prompts.")


def _compared(shown: Sequence[Comparison], title: str, note: str, notes: str) -> list[Slide]:
    header = ["a", "b", "n", "b − a in points [95 %]", "p", "p (Holm)", "p (+10)", "n for 80 %", "verdict"]
    rows = [[c.a, c.b, str(c.n), _points(c), p_value(c.p_value), p_value(c.p_adjusted), _target(c), _needed(c), _verdict(c)] for c in shown]
    return table_slides(title, header, rows, note, notes)


def _verdict(c: Comparison) -> str:
    if c.p_adjusted >= ALPHA:
        return "not shown"
    return "b is better" if c.difference > 0 else "a is better"


def _target(c: Comparison) -> str:
    return "–" if c.p_target is None else p_value(c.p_target)


def _needed(c: Comparison) -> str:
    return "–" if c.needed_n is None else f"{c.needed_n:,}"


def _gain_title(gains: Sequence[tuple[str, Asking, Comparison]]) -> str:
    if not gains:
        return "The worth of asking"
    name, _, best = max(gains, key=lambda gain: gain[2].difference)
    shown = best.p_adjusted < ALPHA and best.difference > 0
    measured = f"{100 * best.difference:+.1f} points in {short(name, 34)}"
    return f"Asking gains {measured}" if shown else f"No gain from asking is shown: {measured}"


def _gain_word(gain: Comparison) -> str:
    if gain.p_adjusted >= ALPHA:
        return "not shown"
    return "gain" if gain.difference > 0 else "loss"


def _quality_title(told: Sequence[tuple[str, Asking]]) -> str:
    if not told:
        return "The teacher's questions in the place of the student's"
    rates = [one.questions_per_row.value for _, one in told]
    spread = f"{min(rates):.1f}" if max(rates) - min(rates) < 0.05 else f"{min(rates):.1f} to {max(rates):.1f}"
    return f"The student asks {spread} questions a row"


def _quality(one: Asking) -> list[Metric | None]:
    return [one.answered, one.novel, one.leaking, one.similarity, one.coverage]


def _share(found: Metric | None) -> str:
    return f"{100 * found.value:.0f} [{100 * found.low:.0f}, {100 * found.high:.0f}]" if found else "–"


def _points(c: Comparison) -> str:
    return points(c).replace(" points", "")


def _usd(one: Asking) -> str:
    return "–" if one.usd_per_point is None else f"{one.usd_per_point:.2g}"


def _changed(one: Asking) -> list[str]:
    return [str(one.changed.get(kind, "–")) for kind in ("fixed", "broken")]


def _example(overlap: Overlap) -> str:
    return clipped(f"{overlap.examples[0][0]}: {overlap.examples[0][2]}", 120) if overlap.examples else "–"
