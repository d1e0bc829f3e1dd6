"""The first slides: the verdict, the question, the loop."""

from collections.abc import Sequence
from typing import Any

from askback.contracts.measures import Comparison, Metric
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import TARGET_POINTS, headline, target_word
from services.evaluator.reporting.slides.building import bullets
from services.evaluator.reporting.slides.measure import largest, short
from services.evaluator.reporting.slides.page import ROOM, Box, Diagram, Line, Link, Node, Part, Slide, Words
from services.evaluator.reporting.wording import METRIC_NAMES, p_value, percent

_TASKS = {"strategyqa": "StrategyQA", "hotpotqa": "HotpotQA"}
_TARGET = f"+{TARGET_POINTS[0]} to +{TARGET_POINTS[1]} points"


def task_name(facts: RunFacts) -> str:
    return _TASKS.get(facts.scores.task, facts.scores.task)


def verdict_line(facts: RunFacts) -> str:
    """The run's answer in one line."""
    found = headline(facts.scores).comparison
    if found is None:
        return "No gain over base direct is measured in this run"
    said = {
        "reached": "The target is reached",
        "not reached": f"The target of {_TARGET} is not reached",
        "not shown": f"The target of {_TARGET} is not shown",
    }
    return f"{said[target_word(found)]}: {100 * found.difference:+.1f} points over base direct"


def opening_slide(facts: RunFacts) -> Slide:
    """The verdict with the three numbers that it rests on."""
    scores, top = facts.scores, headline(facts.scores)
    name = METRIC_NAMES[scores.conditions[0].metrics[0].name]
    cards = []
    if top.base:
        cards.append((f"Base direct, {name}", percent(top.base.metrics[0]), _interval(top.base.metrics[0])))
    if top.best:
        cards.append((f"Best: {short(top.best.condition.name, 40)}", percent(top.best.metrics[0]), _interval(top.best.metrics[0])))
    if top.comparison:
        c = top.comparison
        ends = f"{100 * c.low:+.1f} to {100 * c.high:+.1f}, Holm's p {p_value(c.p_adjusted)}"
        cards.append(("Difference", f"{100 * c.difference:+.1f} points", ends))
    parts = _cards([(label, value.split(" [")[0], below) for label, value, below in cards], 4.1)
    subtitle = f"askback on {task_name(facts)} · run {short(facts.run_id, 40)} · {scores.n} test questions · {len(scores.conditions)} conditions"
    notes = (
        f"{verdict_line(facts)}. The best condition is the one with the highest {name} that is told no gold facts. "
        "Numbers: scores.json, conditions[].metrics[0] and comparisons[]. The interval of the difference is the paired bootstrap's and p the exact "
        "McNemar test's after Holm's correction over all pairs; where seeds are pooled, both are the pooled test's: pooled[], pooled_comparisons[]."
    )
    return Slide(verdict_line(facts), parts, notes, subtitle=subtitle)


def question_slide(facts: RunFacts) -> Slide:
    """What was asked, what was promised, and how it is judged."""
    found = headline(facts.scores).comparison
    lines = [
        "**Question.** Does a small student answer better when it may ask, and does it learn from the answers?",
        f"**Target.** {_TARGET} of {METRIC_NAMES[facts.scores.conditions[0].metrics[0].name]} over the untrained student in direct mode.",
        f"**Test.** Every condition answers the same {facts.scores.n} questions of {task_name(facts)}. "
        "A prediction that is unparsable or failed counts as wrong.",
        "**Reached** means: a gain of at least 10 points is measured, and Holm's p is below 0.05. **Not reached** means: "
        "the whole interval lies below 10 points. **Not shown** is anything else.",
        "**Not counted.** Conditions that are told the dataset's gold facts are an upper bound and never the best.",
    ]
    wide = 7.6
    cards = [("Target", f"+{TARGET_POINTS[0]} to +{TARGET_POINTS[1]}", "points over base direct"), _measured(found)]
    cards.append(("Verdict", target_word(found), f"at n = {facts.scores.n}"))
    stacked = _stacked(cards, Box(ROOM.left + wide + 0.5, ROOM.top, ROOM.width - wide - 0.5, ROOM.height))
    notes = "The target and its rule were set before the run; see docs/evaluator.md. Numbers: scores.json, comparisons[]."
    title = "Can a small student gain 10 to 15 points by asking?"
    return Slide(title, [bullets(lines, Box(ROOM.left, ROOM.top, wide, ROOM.height)), *stacked], notes)


def loop_slide(facts: RunFacts) -> Slide:
    """The whole loop as a diagram with this run's counts."""
    wide, tall, gap = 2.55, 1.7, (ROOM.width - 4 * 2.55) / 3
    lefts = [ROOM.left + i * (wide + gap) for i in range(4)]
    above, below = ROOM.top + 0.35, ROOM.top + 0.35 + tall + 1.0
    texts = _loop_texts(facts)
    places = [(left, above) for left in lefts] + [(left, below) for left in reversed(lefts)]
    accents = (6, 1, 2, 1, 3, 3, 5, 5)
    nodes = [Node(Box(*place, wide, tall), *text, accent) for place, text, accent in zip(places, texts, accents, strict=True)]
    links = [
        *(Link(i, "right", i + 1, "left", f"From {texts[i][0]} to {texts[i + 1][0]}") for i in range(3)),
        Link(3, "bottom", 4, "top", f"From {texts[3][0]} to {texts[4][0]}"),
        *(Link(i, "left", i + 1, "right", f"From {texts[i][0]} to {texts[i + 1][0]}") for i in range(4, 7)),
        Link(7, "top", 1, "bottom", "Back: the promoted adapter becomes the student"),
    ]
    notes = (
        "One row through the harvest: the student drafts an answer and asks, the teacher answers and reasons, the student rewrites. "
        "The traces become training tracks, each track trains a LoRA adapter, every adapter is tested in every mode. "
        "Counts: manifests/*.json, tracks/data_card.json, adapters/, scores.json."
    )
    return Slide("The student asks, is answered, and learns from the traces", [Diagram(nodes, links)], notes)


def _loop_texts(facts: RunFacts) -> list[tuple[str, str]]:
    counts: dict[str, Any] = next((m.get("counts", {}) for m in facts.manifests if m.get("stage") == "sample"), {})
    train = counts.get("samples/train.jsonl")
    tracks = facts.data_card.get("tracks", {})
    rows = ", ".join(f"{name} {track['rows']}" for name, track in tracks.items() if isinstance(track, dict) and "rows" in track)
    adapters = len(facts.trainings)
    return [
        ("Questions", f"{train} to train on, {facts.scores.n} to test" if train else f"{facts.scores.n} to test"),
        ("Student drafts", "an answer and one or two clarifying questions"),
        ("Teacher answers", "the questions, reasons step by step and gives its verdict"),
        ("Student rewrites", "its answer with what it was told"),
        ("Tracks", f"rows: {rows}" if rows and len(rows) < 90 else "direct, cot, context, dialogue, preference"),
        ("Training", f"{adapters} LoRA adapters, one a track and seed" if adapters else "a LoRA adapter for each track"),
        ("Evaluation", f"{len(facts.scores.conditions)} conditions on the same {facts.scores.n} questions"),
        ("Promotion", "an adapter that is shown to be better becomes the student"),
    ]


def _measured(found: Comparison | None) -> tuple[str, str, str]:
    if found is None:
        return "Measured", "–", "the run has no such pair"
    return "Measured", f"{100 * found.difference:+.1f}", f"points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _interval(found: Metric) -> str:
    return f"95 % interval {100 * found.low:.1f} to {100 * found.high:.1f}"


def _cards(cards: Sequence[tuple[str, str, str]], top: float) -> list[Part]:
    """Side by side, below the opening title."""
    left, room, gap = 0.9, 11.5, 0.35
    wide = (room - gap * (len(cards) - 1)) / max(1, len(cards))
    return [_card(card, Box(left + i * (wide + gap), top, wide, 2.1)) for i, card in enumerate(cards)]


def _stacked(cards: Sequence[tuple[str, str, str]], box: Box) -> list[Part]:
    gap = 0.25
    tall = (box.height - gap * (len(cards) - 1)) / len(cards)
    return [_card(card, Box(box.left, box.top + i * (tall + gap), box.width, tall)) for i, card in enumerate(cards)]


def _card(card: tuple[str, str, str], box: Box) -> Words:
    label, value, below = card
    room = box.width - 0.4
    lines = [
        Line(label, largest([label], room, 0.5, (14, 13, 12)), tone="quiet"),
        Line(value, largest([value], room, 0.7, (34, 30, 26, 22), bold=True), bold=True, tone="accent", gap=0.2),
        Line(below, largest([below], room, 0.5, (14, 13, 12))),
    ]
    return Words(box, lines, look="card", alt=f"{label}: {value}, {below}")
