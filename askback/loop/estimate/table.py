"""An estimate as a plain table."""

from collections.abc import Sequence

from askback.contracts.teacher import PriceResponse
from askback.loop.estimate.result import Amount, Comparison, Estimate, Item, PlanLine

_UNKNOWN = "not known"
_NO_BATCH = "-"


def text_of(estimate: Estimate) -> str:
    """The whole estimate; every table has its own columns."""
    held_out = f", {estimate.held_out_rows:,} to choose by" if estimate.held_out_rows else ""
    rows = f"{estimate.rows:,} rows to harvest{held_out} and {estimate.dev_rows:,} to test of {estimate.task}"
    parts = [f"{estimate.name}: {rows}; teacher {_who(estimate.price)}"]
    parts.append(_bill(estimate, "to pay in all", [(item, item.whole) for item in [*estimate.items, estimate.total]]))
    counts = {"done": estimate.done, "cached": estimate.cached, "asked twice": estimate.repeated}
    there = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    if there:
        parts.append(_bill(estimate, f"left ({there})", [(item, item.left) for item in [*estimate.items, estimate.total]]))
    head = ["student, on this machine, $0", "calls", "prompt tokens", "completion tokens"]
    parts.append(_table(head, [[i.name, *_counts(i.calls, i.prompt_tokens, i.completion_tokens)] for i in estimate.student]))
    if estimate.comparison:
        parts.append(_comparison(estimate.comparison))
    parts.append(_plan(estimate.plan, estimate.spending_price))
    parts.append("\n".join(_told(estimate)))
    return "\n\n".join(parts) + "\n"


def _bill(estimate: Estimate, title: str, rows: Sequence[tuple[Item, Amount]]) -> str:
    head = [title, "calls", "prompt tokens", "completion tokens", "online", "batch"]
    if estimate.other_price:
        head += [f"as {estimate.other_price.model}", "its batch"]
    lines = []
    for item, amount in rows:
        line = [item.name, *_counts(amount.calls, amount.prompt_tokens, amount.completion_tokens)]
        line += [_usd(amount.online_usd), _batch(amount.online_usd, amount.batch_usd)]
        if estimate.other_price:
            line += [_usd(amount.other_online_usd), _batch(amount.other_online_usd, amount.other_batch_usd)]
        lines.append(line)
    return _table(head, lines)


def _comparison(found: Comparison) -> str:
    pairs = [
        ("prompt tokens", found.estimated_prompt_tokens, found.counted_prompt_tokens),
        ("completion tokens", found.estimated_completion_tokens, found.counted_completion_tokens),
    ]
    pairs.append(("together", pairs[0][1] + pairs[1][1], pairs[0][2] + pairs[1][2]))
    head = [f"{found.replies:,} replies of this run", "estimated", "counted", "difference"]
    text = _table(head, [[name, f"{guess:,}", f"{real:,}", _percent(guess, real)] for name, guess, real in pairs])
    if found.billed_prompt_tokens:
        text += (
            f"\nthe backend's own count: {found.billed_prompt_tokens:,} + {found.billed_completion_tokens:,} tokens, {_usd(found.billed_usd)} paid"
        )
    return text


def _plan(lines: Sequence[PlanLine], here: PriceResponse) -> str:
    head = ["the plan's settings", "prompt tokens", "completion tokens", here.model, "its batch", "GPT-4 ($30/$60)", "its batch"]
    rows = []
    for line in lines:
        prompt = round(line.rows * line.tokens_a_row * line.prompt_share)
        tokens = [f"{prompt:,}", f"{line.rows * line.tokens_a_row - prompt:,}"]
        dollars = [
            _usd(line.here_online_usd),
            _batch(line.here_online_usd, line.here_batch_usd),
            _usd(line.gpt4_online_usd),
            _usd(line.gpt4_batch_usd),
        ]
        rows.append([f"{line.name}, {line.rows:,} x {line.tokens_a_row} tokens", *tokens, *dollars])
    return _table(head, rows)


def _told(estimate: Estimate) -> list[str]:
    lines = [f"drafts: {_sources(estimate.drafts)}", f"replies: {_sources(estimate.replies)}"]
    lines.append(f"tokens counted by {estimate.counted_by}; the student's by {estimate.student_counted_by}")
    return [*lines, *(f"note: {note}" for note in estimate.notes)]


def _who(price: PriceResponse) -> str:
    return f"{price.backend} ({price.model})" if price.backend else price.model


def _sources(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _counts(*values: int) -> list[str]:
    return [f"{value:,}" for value in values]


def _usd(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.4f}"


def _batch(online: float | None, batch: float | None) -> str:
    return _NO_BATCH if batch is None and online is not None else _usd(batch)


def _percent(guess: int, real: int) -> str:
    return f"{100 * (guess - real) / real:+.1f} %" if real else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
