"""What several slides are built of: a table over as many slides as it takes, bullets beside something, a note below."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from askback.contracts.measures import Metric
from services.evaluator.reporting.slides.measure import largest, text_height
from services.evaluator.reporting.slides.page import BODY_SIZES, NOTE_SIZE, ROOM, Box, Line, Part, Slide, Words
from services.evaluator.reporting.slides.tables import grids
from services.evaluator.reporting.wording import percent

_INDENT = 0.4  # of bullets, in the master
_BETWEEN = 0.2


def table_slides(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], note: str, notes: str, shades: Mapping[tuple[int, int], float] | None = None
) -> list[Slide]:
    """The table with `note` in small print below and in the notes; a table of several slides has them counted in the title. Empty without rows."""
    if not rows:
        return []
    below, notes = note_height(note), f"{notes} {note}".strip()
    box = replace(ROOM, height=ROOM.height - below)
    found = grids(header, rows, f"Table: {title}. Columns: {', '.join(name for name in header if name)}.", box=box, shades=shades)
    return [
        Slide(counted_title(title, i, len(found)), [grid, *note_below(note, grid.box.top + grid.box.height)], notes) for i, grid in enumerate(found)
    ]


def note_height(note: str, width: float = ROOM.width) -> float:
    return text_height(note, width, NOTE_SIZE) + _BETWEEN if note else 0.0


def note_below(note: str, bottom: float, width: float = ROOM.width) -> list[Part]:
    """Small print that starts a little below `bottom`."""
    if not note:
        return []
    top = bottom + 0.12
    return [
        Words(Box(ROOM.left, top, width, note_height(note, width) - 0.05), [Line(note, NOTE_SIZE, tone="quiet")], alt="Note to what stands above")
    ]


def bullets(lines: Sequence[str], box: Box = ROOM, sizes: Sequence[float] = BODY_SIZES) -> Words:
    """The lines in the slide's body, at the largest size at which they fit; lines that never fit are left out and counted."""
    width = box.width - _INDENT
    shown = list(lines)
    while True:
        said = shown if len(shown) == len(lines) else [*shown, f"and {len(lines) - len(shown)} more in report.md"]
        size = largest(said, width, box.height - 0.1, sizes)
        if sum(text_height(line, width, size) + 0.5 * size / 72 for line in said) <= box.height or not shown:
            return Words(box, [Line(line, size) for line in said], look="body", alt="Main text")
        shown.pop()


def counted_title(title: str, i: int, count: int) -> str:
    return title if count == 1 else f"{title} ({i + 1}/{count})"


def said(count: int) -> str:
    """A count as a title begins with it."""
    return str(count) if count else "None"


def share(found: Metric | None) -> str:
    """`57.8 [45.6, 69.1]`, in %, for a column whose header or note says so."""
    return percent(found).replace(" %", "")
