"""The run as a short deck of 16:9 slides."""

import io
from collections.abc import Sequence
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR
from pptx.util import Emu, Inches, Pt

from askback.contracts.evaluator import Scores
from services.evaluator.reporting.findings import BASE, shown_comparisons
from services.evaluator.reporting.report import (
    RunFacts,
    caveats,
    harvest_lines,
    majority_text,
    results_header,
    results_row,
    summary,
    target_statement,
)
from services.evaluator.reporting.wording import leaves, p_value, points

_INK = RGBColor(0x22, 0x2B, 0x38)
_ACCENT = RGBColor(0x4C, 0x78, 0xA8)
_WIDTH, _HEIGHT = Inches(13.333), Inches(7.5)
_LEFT, _TOP, _ROOM = Inches(0.6), Inches(1.35), Inches(12.13)
_RESULTS_PER_SLIDE = 12
_LINES_PER_SLIDE = 20
_COMPARISONS_SHOWN = 9
PLOTTED = 14
"""Conditions that a slide's plot has room for."""
_RESULT_WIDTHS = (2.5, 0.8, 0.85, 1.3, 0.45, 1.7, 0.6, 1.7, 1.7, 1.2, 0.7)
_COMPARISON_WIDTHS = (2.2, 2.2, 0.45, 2.2, 0.75, 0.95, 3.9)
_LOOP = (
    "The student drafts an answer and asks one or two clarifying questions",
    "The teacher answers them, reasons step by step and gives its verdict",
    "The student rewrites its answer; every row is kept with its cost and errors",
    "The traces become training tracks: direct, cot, context, dialogue, preference",
    "Each track trains a LoRA adapter on the student",
    "Every adapter is tested in every mode on the same questions; the best one becomes the student",
)


def deck(facts: RunFacts, plot: bytes) -> bytes:
    """Title, loop, data, results, plot, comparisons and limits as a .pptx file; `plot` is the main plot as PNG."""
    show = Presentation()
    show.slide_width, show.slide_height = _WIDTH, _HEIGHT
    scores = facts.scores
    _title(show, f"Run {facts.run_id}", f"{scores.task}, {scores.n} test questions", [summary(scores), target_statement(scores)])
    _bullets(show, "The loop", [f"{i}. {step}" for i, step in enumerate(_LOOP, 1)], 20)
    _bullets(show, "Data and harvest", _data_lines(facts))
    note = f"95 % intervals in brackets. Majority baseline {majority_text(scores)}."
    for first in range(0, len(scores.conditions), _RESULTS_PER_SLIDE):
        rows = [results_row(score) for score in scores.conditions[first : first + _RESULTS_PER_SLIDE]]
        _table(show, "Results", results_header(scores), rows, _RESULT_WIDTHS, note)
    _picture(show, _plot_title(scores), plot)
    _comparisons(show, scores)
    _bullets(show, "Limits", caveats(facts))
    buffer = io.BytesIO()
    show.save(buffer)
    return buffer.getvalue()


def _plot_title(scores: Scores) -> str:
    count = len(scores.conditions)
    return f"Results: {BASE} and the best of {count}" if count > PLOTTED else "Results with 95 % intervals"


def _comparisons(show: Any, scores: Scores) -> None:
    """One slide: the largest differences to the untrained student, then the largest others."""
    ranked = sorted(shown_comparisons(scores), key=lambda c: (c.a != BASE, -abs(c.difference)))[:_COMPARISONS_SHOWN]
    if not ranked:
        return
    rows = [[c.a, c.b, str(c.n), points(c), p_value(c.p_value), p_value(c.p_adjusted), c.verdict] for c in ranked]
    note = f"{len(rows)} of {len(scores.comparisons)} pairs, the largest with {BASE} first. Paired bootstrap; exact McNemar test, Holm over all."
    _table(show, "Comparisons", ["a", "b", "n", "b − a [95 %]", "p", "p (Holm)", "verdict"], rows, _COMPARISON_WIDTHS, note)


def _data_lines(facts: RunFacts) -> list[str]:
    lines = [f"{facts.scores.n} test questions; majority baseline {majority_text(facts.scores)}"]
    if facts.harvest:
        lines += [f"Harvest, {line}" for line in harvest_lines(facts.harvest)]
    return lines + [f"Tracks, {path}: {values}" for path, values in leaves(facts.data_card)]


def _slide(show: Any, title: str) -> Any:
    slide = show.slides.add_slide(show.slide_layouts[6])  # 6 is the blank layout of the built-in template
    _text(slide, [title], Inches(0.45), Inches(0.8), 30, bold=True)
    bar = slide.shapes.add_shape(1, _LEFT, Inches(1.2), Inches(1.2), Emu(38100))
    bar.fill.solid()
    bar.fill.fore_color.rgb = _ACCENT
    bar.line.fill.background()
    return slide


def _text(slide: Any, lines: Sequence[str], top: Any, height: Any, size: int, *, bold: bool = False) -> None:
    frame = slide.shapes.add_textbox(_LEFT, top, _ROOM, height).text_frame
    frame.word_wrap = True
    for i, line in enumerate(lines):
        paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
        run = paragraph.add_run()
        run.text = line.replace("**", "").replace("`", "")
        run.font.size, run.font.bold, run.font.color.rgb = Pt(size), bold, _INK
        paragraph.space_after = Pt(size * 0.5)


def _title(show: Any, title: str, subtitle: str, paragraphs: Sequence[str]) -> None:
    slide = show.slides.add_slide(show.slide_layouts[6])
    _text(slide, [title], Inches(1.5), Inches(1), 44, bold=True)
    _text(slide, [subtitle], Inches(2.4), Inches(0.6), 24)
    _text(slide, paragraphs, Inches(3.4), Inches(3.5), 16)


def _bullets(show: Any, title: str, lines: Sequence[str], largest: int = 18) -> None:
    if len(lines) > _LINES_PER_SLIDE:
        lines = [*lines[: _LINES_PER_SLIDE - 1], f"{len(lines) - _LINES_PER_SLIDE + 1} more lines in report.md"]
    size = largest if len(lines) <= 9 else 14 if len(lines) <= 14 else 11
    _text(_slide(show, title), lines, _TOP, Inches(5.6), size)


def _table(show: Any, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], note: str) -> None:
    slide = _slide(show, title)
    height = Inches(0.4 * (len(rows) + 1))
    table = slide.shapes.add_table(len(rows) + 1, len(header), _LEFT, _TOP, _ROOM, height).table
    for column, width in zip(table.columns, widths, strict=True):
        column.width = Emu(int(_ROOM * width / sum(widths)))
    for r, line in enumerate([header, *rows]):
        for c, value in enumerate(line):
            _cell(table.cell(r, c), value, heading=r == 0)
    _text(slide, [note], Inches(6.85), Inches(0.4), 12)


def _cell(cell: Any, value: str, *, heading: bool) -> None:
    cell.margin_left = cell.margin_right = Inches(0.05)
    cell.margin_top = cell.margin_bottom = Inches(0.03)
    cell.vertical_anchor = MSO_ANCHOR.MIDDLE
    cell.text = value
    font = cell.text_frame.paragraphs[0].runs[0].font if value else cell.text_frame.paragraphs[0].font
    font.size, font.bold = Pt(10), heading
    if heading:
        cell.fill.solid()
        cell.fill.fore_color.rgb = _ACCENT


def _picture(show: Any, title: str, plot: bytes) -> None:
    slide = _slide(show, title)
    picture = slide.shapes.add_picture(io.BytesIO(plot), _LEFT, _TOP, width=_ROOM)
    room = Inches(5.9)
    if picture.height > room:
        picture.width, picture.height = Emu(int(picture.width * room / picture.height)), room
    picture.left = Emu((_WIDTH - picture.width) // 2)
