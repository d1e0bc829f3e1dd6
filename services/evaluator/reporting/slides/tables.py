"""Tables that never leave their slide: columns as wide as their text needs, rows as many as there is room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.evaluator.reporting.slides.measure import joined, text_height, text_width
from services.evaluator.reporting.slides.page import ROOM, Box, Grid

TABLE_SIZES = (14, 13, 12, 11, 10)
_SIDE, _ABOVE = 0.18, 0.1  # left and right, and top and bottom margins of a cell, together
_LEAST = 0.27
_WIDENED = 1.5
_AIR = 1.4
_SHORT = 30  # characters


def grids(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    alt: str,
    *,
    box: Box = ROOM,
    sizes: Sequence[float] = TABLE_SIZES,
    shades: Mapping[tuple[int, int], float] | None = None,
) -> list[Grid]:
    """The table on as few slides as it takes at the smallest size, evenly filled, and then as large as it stays on them."""
    header = [joined(name) for name in header]
    fewest = len(_measured(header, rows, box, sizes[-1]).counts)
    tried = [_measured(header, rows, box, size) for size in sizes]
    fits = [one for one in tried if len(one.counts) == fewest]
    best = next((one for one in fits if not one.broken), fits[0])
    pages, first = [], 0
    for count in best.counts:
        held = slice(first, first + count)
        own = {(r - first, c): shade for (r, c), shade in (shades or {}).items() if first <= r < first + count}
        tall = _airy([best.head, *best.heights[held]], box.height)
        place = Box(box.left, box.top, sum(best.widths), sum(tall))
        pages.append(Grid(place, header, rows[held], best.widths, tall, best.size, alt, own))
        first += count
    return pages


@dataclass(frozen=True)
class _Measured:
    size: float
    widths: list[float]
    head: float
    heights: list[float]
    counts: list[int]
    """Rows of each slide."""
    broken: bool
    """A short cell, such as a number with its interval, takes more than one line."""


def _measured(header: Sequence[str], rows: Sequence[Sequence[str]], box: Box, size: float) -> _Measured:
    widths = column_widths(header, rows, box.width, size)
    heights = [row_height(row, widths, size) for row in rows]
    head = row_height(header, widths, size, bold=True)
    broken = any(
        len(cell) <= _SHORT and text_width(cell, size) > width - _SIDE + 1e-6 for row in rows for cell, width in zip(row, widths, strict=True)
    )
    return _Measured(size, widths, head, heights, _page_lengths(heights, box.height - head), broken)


def column_widths(header: Sequence[str], rows: Sequence[Sequence[str]], room: float, size: float) -> list[float]:
    """As wide as the text, the widest cut to one width where they do not all fit, and widened a little where there is room.

    A header may break between its words; no column is cut below its longest word, as long as the words leave room.
    """
    columns = range(len(header))
    wanted = [max([_words(header[c], size, bold=True), *(text_width(row[c], size) for row in rows), _LEAST]) + _SIDE for c in columns]
    floors = [max([_words(header[c], size, bold=True), *(_words(row[c], size) for row in rows), _LEAST]) + _SIDE for c in columns]
    if sum(wanted) <= room:
        return [width * min(_WIDENED, room / sum(wanted)) for width in wanted]
    if sum(floors) > room:
        floors = [_LEAST] * len(header)
    low, high = 0.0, max(wanted)
    for _ in range(40):  # halving finds the common width to far below a point
        cap = (low + high) / 2
        over = sum(max(floor, min(width, cap)) for width, floor in zip(wanted, floors, strict=True)) > room
        low, high = (low, cap) if over else (cap, high)
    return [max(floor, min(width, low)) for width, floor in zip(wanted, floors, strict=True)]


def _words(text: str, size: float, *, bold: bool = False) -> float:
    """Width of the longest word."""
    return max((text_width(word, size, bold=bold) for word in text.split(" ")), default=0.0)


def row_height(row: Sequence[str], widths: Sequence[float], size: float, *, bold: bool = False) -> float:
    return max(text_height(cell or " ", width - _SIDE, size, bold=bold) for cell, width in zip(row, widths, strict=True)) + _ABOVE


def _airy(heights: Sequence[float], room: float) -> list[float]:
    """Rows of a short table stand further apart."""
    return [height * max(1.0, min(_AIR, 0.8 * room / sum(heights))) for height in heights]


def _page_lengths(heights: Sequence[float], room: float) -> list[int]:
    pages = _filled(heights, room)
    even = sum(heights) / len(pages) + max(heights, default=0)
    balanced = _filled(heights, min(room, even))
    return balanced if len(balanced) == len(pages) else pages


def _filled(heights: Sequence[float], room: float) -> list[int]:
    counts, used = [0], 0.0
    for height in heights:
        if counts[-1] and used + height > room:
            counts.append(0)
            used = 0.0
        counts[-1] += 1
        used += height
    return counts
