"""Sentences and rows that the report and the slides share."""

from typing import Any

from askback.contracts.evaluator import Scores
from askback.contracts.measures import ConditionScore
from services.evaluator.reporting.facts import RunFacts as RunFacts
from services.evaluator.reporting.findings import TARGET_POINTS, HarvestFindings, headline, metric, target_word
from services.evaluator.reporting.wording import counted, metric_name, percent, points, under, yes_share
from services.evaluator.stats.intervals import wilson
from services.evaluator.stats.target import against_target


def summary(scores: Scores) -> str:
    """The best condition against the untrained student, in one paragraph."""
    top, name = headline(scores), metric_name(scores.conditions[0].metrics[0].name)
    said = []
    if top.best:
        trainings = f", mean of {top.seeds} seeds" if top.seeds > 1 else ""
        said.append(f"The best condition, `{top.best.condition.name}` ({under(top.best)}{trainings}), has {name} {percent(top.best.metrics[0])}.")
    if top.base:
        said.append(f"Base direct ({under(top.base)}) has {percent(top.base.metrics[0])}.")
    if top.comparison:
        said.append(f"The difference is {points(top.comparison)}; {top.comparison.verdict}. The test is {_test(scores, top.seeds)}.")
    elif not top.base:
        said.append("The run has no predictions of base direct, so no gain is computed.")
    if top.upper_bound:
        said.append(f"With gold facts as answers, an upper bound ({under(top.upper_bound)}), it is {percent(top.upper_bound.metrics[0])}.")
    said.append(f"Always giving the commonest gold answer would score {majority_text(scores)}.")
    return " ".join(said)


def _test(scores: Scores, seeds: int) -> str:
    if seeds > 1:
        return f"that over questions and seeds, with Holm's correction over {counted(len(scores.pooled_comparisons), 'comparison')} of pools"
    return f"the exact McNemar test, with Holm's correction over {counted(len(scores.comparisons), 'comparison')}"


def target_statement(scores: Scores) -> str:
    """The measured gain held against the target."""
    comparison = headline(scores).comparison
    said = f"Target +{TARGET_POINTS[0]} to +{TARGET_POINTS[1]} points over base direct: **{target_word(comparison)}**"
    if comparison is None:
        return f"{said} (the run has no pair of base direct and another condition)."
    measured = f"measured {points(comparison)} with `{comparison.b}` at n = {comparison.n}"
    if target_word(comparison) == "reached" and comparison.low * 100 < TARGET_POINTS[0]:
        measured += f"; the interval does not exclude gains below +{TARGET_POINTS[0]}"
    if comparison.p_target is not None:
        measured += f"; {against_target(comparison).split(': ', 1)[1]}"
    return f"{said} ({measured})."


def majority_text(scores: Scores) -> str:
    low, high = wilson(scores.majority, scores.n)
    return f"{100 * scores.majority:.1f} % [{100 * low:.1f}, {100 * high:.1f}] at n = {scores.n}"


def results_header(scores: Scores) -> list[str]:
    name = metric_name(scores.conditions[0].metrics[0].name)
    return ["condition", "mode", "resolver", "adapter", "n", f"{name} [95 %]", "± s.e.", "balanced accuracy", "P(yes) rate", "unparsable", "failed"]


def results_row(score: ConditionScore) -> list[str]:
    c, first = score.condition, score.metrics[0]
    named = [c.name, c.mode, c.resolver, c.adapter, str(first.n), percent(first), f"{100 * first.stderr:.1f}"]
    return [*named, percent(metric(score, "balanced_accuracy")), yes_share(score), str(score.unparsable), str(score.failed)]


def caveats(facts: RunFacts) -> list[str]:
    """What the numbers do not say, one sentence each."""
    widest = max(facts.scores.conditions, key=lambda score: score.metrics[0].high - score.metrics[0].low).metrics[0]
    lost = sum(score.unparsable + score.failed for score in facts.scores.conditions)
    seeds = ", ".join(f"{path} = {value}" for path, value in _seeds(facts.config))
    said = [
        f"n = {facts.scores.n} test questions; the widest 95 % interval is {100 * (widest.high - widest.low):.1f} points from end to end.",
        _covered(facts) + (f" Seeds in config.toml: {seeds}." if seeds else " The run's folder names no seeds."),
        f"{lost} of {facts.scores.n * len(facts.scores.conditions)} predictions were unparsable or failed; they count as wrong.",
    ]
    if headline(facts.scores).upper_bound:
        said.append("Conditions with resolver gold or gold-nearest are told the dataset's own facts: an upper bound, never the best condition.")
    return said


def _covered(facts: RunFacts) -> str:
    if any(pool.seeds > 1 for pool in facts.scores.pooled):
        return "Pooled intervals and tests cover the choice of questions and of training seeds, all others that of questions; none that of prompts."
    return "Intervals and tests cover the choice of questions, not that of training seeds or prompts."


def harvest_lines(found: HarvestFindings) -> list[str]:
    """The harvest's counts, one line each."""
    lines = [f"rows: {found.rows}, through all stages: {found.complete}"]
    lines += [f"{count.stage}: {count.answered} answered, {count.failed} failed" for count in found.stages]
    lines += [f"error {kind} at {stage}: {count}" for stage, kind, count in found.errors]
    lines += ["teacher's answers by backend: " + ", ".join(f"{name} {count}" for name, count in found.backends)] if found.backends else []
    if found.agreement:
        lines.append(f"teacher agrees with gold: {percent(found.agreement)}, n = {found.agreement.n}")
    return [*lines, f"cost: {found.cost_usd:.4f} USD, {found.tokens} tokens"]


def _seeds(config: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found = [(f"{path}{key}", value) for key, value in config.items() if key in ("seed", "seeds")]
    for key, value in config.items():
        entries = {f"{key}.{i}": entry for i, entry in enumerate(value, 1)} if isinstance(value, list) else {key: value}
        for name, entry in entries.items():
            if isinstance(entry, dict):
                found += _seeds(entry, f"{path}{name}.")
    return found
