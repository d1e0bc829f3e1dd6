"""How numbers and conditions are written in the report and on the slides."""

from typing import Any

from askback.contracts.measures import Comparison, ConditionScore, Metric
from services.evaluator.stats.intervals import wilson
from services.evaluator.stats.paired import p_text

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "sari": "SARI",
    "answer_em": "answer EM",
    "answer_f1": "answer F1",
    "supporting_fact_em": "supporting fact EM",
    "supporting_fact_f1": "supporting fact F1",
    "joint_em": "joint EM",
    "joint_f1": "joint F1",
}


def percent(metric: Metric | None) -> str:
    """`58.7 % [52.2, 64.9]`, or a dash without a metric."""
    return f"{100 * metric.value:.1f} % [{100 * metric.low:.1f}, {100 * metric.high:.1f}]" if metric else "–"


def share(metric: Metric) -> str:
    """`58.7 %`, where its interval stands beside it."""
    return f"{100 * metric.value:.1f} %"


def metric_name(name: str) -> str:
    """A metric's name as a person writes it."""
    return METRIC_NAMES.get(name, name.replace("_", " "))


def decimal(metric: Metric | None) -> str:
    """`0.24 [0.22, 0.26], n = 229`, for metrics whose n may differ from the table's."""
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}], n = {metric.n}" if metric else "–"


def points(comparison: Comparison) -> str:
    """`+12.3 points [4.1, 20.2]`."""
    return f"{100 * comparison.difference:+.1f} points [{100 * comparison.low:+.1f}, {100 * comparison.high:+.1f}]"


def counted(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`, `1,200 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def p_value(p: float) -> str:
    """`0.012` or `< 0.001`, for a table's cell."""
    return p_text(p).removeprefix("p ").removeprefix("= ")


def under(score: ConditionScore) -> str:
    """A condition in words: `adapter base, mode direct, resolver none, n = 229`."""
    c = score.condition
    return f"adapter {c.adapter}, mode {c.mode}, resolver {c.resolver}, n = {score.metrics[0].n}"


def yes_share(score: ConditionScore) -> str:
    """Share of yes among the parsed answers with Wilson's interval; a dash for tasks without yes and no."""
    if score.yes_rate is None:
        return "–"
    low, high = wilson(score.yes_rate, score.metrics[0].n - score.unparsable - score.failed)
    return f"{100 * score.yes_rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def leaves(value: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    """(dotted path, `key value, key (key value)`) of each object in free JSON that holds plain values.

    An object below one with plain values stands in brackets on its line, except at the top; list items count from 1.
    """
    plain = [f"{key} {_plain(item)}" for key, item in value.items() if isinstance(item, str | int | float | bool)]
    nested = {key: item for key, item in value.items() if isinstance(item, dict)}
    for key, item in value.items():
        if isinstance(item, list):
            nested |= {f"{key}.{i}": entry for i, entry in enumerate(item, 1) if isinstance(entry, dict)}
    inline = {key: item for key, item in nested.items() if path and plain and not any(isinstance(v, dict | list) for v in item.values())}
    plain += [f"{key} ({', '.join(f'{k} {_plain(v)}' for k, v in item.items())})" for key, item in inline.items()]
    found = [(path or "all", ", ".join(plain))] if plain else []
    for key, item in nested.items():
        if key not in inline:
            found += leaves(item, f"{path}.{key}" if path else key)
    return found


def _plain(item: object) -> str:
    return f"{item:.4g}" if isinstance(item, float) else str(item)
