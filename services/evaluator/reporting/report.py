"""A run's report as Markdown: facts in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison, ConditionScore, Metric
from services.evaluator.reporting.findings import BASE, TARGET_POINTS, HarvestFindings, headline, metric, shown_comparisons, target_word
from services.evaluator.reporting.wording import METRIC_NAMES, decimal, leaves, markdown_table, p_value, percent, points, under, yes_share
from services.evaluator.stats.intervals import wilson


@dataclass(frozen=True)
class RunFacts:
    """All that the report and the slides tell; an empty part is left out."""

    run_id: str
    scores: Scores
    harvest: HarvestFindings | None
    data_card: dict[str, Any]
    trainings: dict[str, dict[str, Any]]
    manifests: list[dict[str, Any]]
    config: dict[str, Any]


def markdown(facts: RunFacts, files: Sequence[str]) -> str:
    """The whole report; `files` are those written with it, relative to the run's folder."""
    plots = [file for file in files if file.endswith(".png")]
    sections = [
        [f"# Run {facts.run_id}: {facts.scores.task}"],
        [summary(facts.scores)],
        [target_statement(facts.scores)],
        ["## Results", "", *_results(facts.scores)],
        [f"![{file.removeprefix('plots/').removesuffix('.png').replace('_', ' ')}]({file})" for file in plots],
        *_comparisons(facts.scores),
        *_harvest(facts.harvest),
        *_tracks(facts.data_card),
        *_training(facts.trainings),
        *_stages(facts.manifests),
        ["## Caveats", "", *(f"- {line}" for line in caveats(facts))],
        ["## Files", "", *(f"- `{file}`" for file in files)],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def summary(scores: Scores) -> str:
    """The best condition against the untrained student, in one paragraph."""
    top, name = headline(scores), METRIC_NAMES[scores.conditions[0].metrics[0].name]
    said = []
    if top.best:
        said.append(f"The best condition, `{top.best.condition.name}` ({under(top.best)}), has {name} {percent(top.best.metrics[0])}.")
    if top.base:
        said.append(f"Base direct ({under(top.base)}) has {percent(top.base.metrics[0])}.")
    if top.comparison:
        test = f"exact McNemar test with Holm's correction over {len(scores.comparisons)} comparisons"
        said.append(f"The difference is {points(top.comparison)}; {top.comparison.verdict} ({test}).")
    elif not top.base:
        said.append("The run has no predictions of base direct, so no gain is computed.")
    if top.upper_bound:
        said.append(f"With gold facts as answers, an upper bound ({under(top.upper_bound)}), it is {percent(top.upper_bound.metrics[0])}.")
    said.append(f"Always giving the commonest gold answer would score {majority_text(scores)}.")
    return " ".join(said)


def target_statement(scores: Scores) -> str:
    """The measured gain held against the target."""
    comparison = headline(scores).comparison
    said = f"Target +{TARGET_POINTS[0]} to +{TARGET_POINTS[1]} points over base direct: **{target_word(comparison)}**"
    if comparison is None:
        return f"{said} (the run has no pair of base direct and another condition)."
    measured = f"measured {points(comparison)} with `{comparison.b}` at n = {comparison.n}"
    if target_word(comparison) == "reached" and comparison.low * 100 < TARGET_POINTS[0]:
        measured += f"; the interval does not exclude gains below +{TARGET_POINTS[0]}"
    return f"{said} ({measured})."


def majority_text(scores: Scores) -> str:
    low, high = wilson(scores.majority, scores.n)
    return f"{100 * scores.majority:.1f} % [{100 * low:.1f}, {100 * high:.1f}] at n = {scores.n}"


def results_header(scores: Scores) -> list[str]:
    name = METRIC_NAMES[scores.conditions[0].metrics[0].name]
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
        "Intervals and tests cover the choice of questions, not that of training seeds or prompts."
        + (f" Seeds in config.toml: {seeds}." if seeds else " The run's folder names no seeds."),
        f"{lost} of {facts.scores.n * len(facts.scores.conditions)} predictions were unparsable or failed; they count as wrong.",
    ]
    if headline(facts.scores).upper_bound:
        said.append("Conditions with resolver gold are told the dataset's own facts: an upper bound, never the best condition.")
    return said


def _results(scores: Scores) -> list[str]:
    table = markdown_table(results_header(scores), [results_row(score) for score in scores.conditions])
    note = f"A condition's name is adapter.mode, with the resolver behind it in mode assisted. Majority baseline: {majority_text(scores)}."
    shown_above = (scores.conditions[0].metrics[0].name, "balanced_accuracy")
    others = [name for name in dict.fromkeys(m.name for score in scores.conditions for m in score.metrics) if name not in shown_above]
    if not others:
        return [*table, "", note]
    rows = [[*results_row(score)[:5], *(_other(metric(score, name)) for name in others)] for score in scores.conditions]
    header = [*results_header(scores)[:5], *(f"{METRIC_NAMES[name]} [95 %]" for name in others)]
    return [*table, "", note, "", *markdown_table(header, rows)]


def _other(found: Metric | None) -> str:
    return decimal(found) if found and found.name == "brier" else percent(found)


def _comparisons(scores: Scores) -> list[list[str]]:
    if not scores.comparisons:
        return []
    shown = shown_comparisons(scores)
    text = f"{len(shown)} of {len(scores.comparisons)} pairs: all against `{BASE}`, and the largest others. All pairs are in `scores.json`."
    rows = [_comparison_row(c) for c in shown]
    table = markdown_table(["a", "b", "n", "b − a [95 %]", "p", "p (Holm)", "verdict"], rows)
    return [["## Comparisons", "", text, "", *table]]


def _comparison_row(c: Comparison) -> list[str]:
    return [c.a, c.b, str(c.n), points(c), p_value(c.p_value), p_value(c.p_adjusted), c.verdict]


def harvest_lines(found: HarvestFindings) -> list[str]:
    """The harvest's counts, one line each."""
    lines = [f"rows: {found.rows}, through all stages: {found.complete}"]
    lines += [f"{count.stage}: {count.answered} answered, {count.failed} failed" for count in found.stages]
    lines += [f"error {kind} at {stage}: {count}" for stage, kind, count in found.errors]
    lines += ["teacher's answers by backend: " + ", ".join(f"{name} {count}" for name, count in found.backends)] if found.backends else []
    if found.agreement:
        lines.append(f"teacher agrees with gold: {percent(found.agreement)}, n = {found.agreement.n}")
    return [*lines, f"cost: {found.cost_usd:.4f} USD, {found.tokens} tokens"]


def _harvest(found: HarvestFindings | None) -> list[list[str]]:
    return [["## Harvest", "", *(f"- {line}" for line in harvest_lines(found))]] if found else []


def _tracks(card: dict[str, Any]) -> list[list[str]]:
    return [["## Tracks", "", *(f"- {path}: {values}" for path, values in leaves(card))]] if card else []


def _training(trainings: dict[str, dict[str, Any]]) -> list[list[str]]:
    rows = []
    for name, training in trainings.items():
        if losses := training.get("losses"):
            first, last = losses[0], losses[-1]
            rows.append([name, str(last["step"]), f"{first['loss']:.3f} (step {first['step']})", f"{last['loss']:.3f} (step {last['step']})"])
    return [["## Training", "", *markdown_table(["adapter", "steps", "first loss", "last loss"], rows)]] if rows else []


def _stages(manifests: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for manifest in manifests:
        rest = {key: value for key, value in manifest.items() if key not in ("stage", "seconds", "sha256")}
        counts = [f"{path.removeprefix('counts.')}: {text}" if path.startswith("counts.") else text for path, text in leaves(rest)]
        seconds = manifest.get("seconds")
        rows.append([str(manifest["stage"]), f"{seconds:.1f}" if isinstance(seconds, int | float) else "–", "; ".join(counts)])
    return [["## Stages", "", *markdown_table(["stage", "seconds", "counts"], rows)]] if rows else []


def _seeds(config: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found = [(f"{path}{key}", value) for key, value in config.items() if key in ("seed", "seeds")]
    for key, value in config.items():
        entries = {f"{key}.{i}": entry for i, entry in enumerate(value, 1)} if isinstance(value, list) else {key: value}
        for name, entry in entries.items():
            if isinstance(entry, dict):
                found += _seeds(entry, f"{path}{name}.")
    return found
