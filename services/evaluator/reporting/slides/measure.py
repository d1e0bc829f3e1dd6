"""How much room text takes, estimated without a font so that every machine breaks the deck at the same places.

The widths are those of a wide sans serif (DejaVu Sans, Verdana): what fits in it fits in the deck's own, narrower font.
"""

import math
import re
from collections.abc import Sequence

_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[]/\\ -"), frozenset("mwMW%@—…→")
_LINE = 1.22  # of the font size, from one base line to the next
_BOLD = 1.13


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width in inches of one line at `size` points."""
    return sum(_em(char) for char in text) * size / 72 * (_BOLD if bold else 1)


def line_count(text: str, width: float, size: float, *, bold: bool = False) -> int:
    """Lines that `text` takes in `width` inches; a word wider than that is broken, after its hyphens or anywhere."""
    lines = 0
    for paragraph in text.split("\n"):
        lines, used, blank = lines + 1, 0.0, text_width(" ", size, bold=bold)
        for word in paragraph.split(" "):  # not at a blank that holds a number and its unit together
            wide = text_width(word, size, bold=bold)
            if used and used + blank + wide > width:
                lines, used = lines + 1, 0.0
            if wide > width:
                more, used = _broken(word, width, size, bold=bold)
                lines += more
            else:
                used += wide + (blank if used else 0.0)
    return lines


def _broken(word: str, width: float, size: float, *, bold: bool) -> tuple[int, float]:
    """Further lines of a word that starts on a line of its own, and how much of the last it takes."""
    lines, used = 0, 0.0
    for piece in re.split(r"(?<=[-…])", word):
        wide = text_width(piece, size, bold=bold)
        if used and used + wide > width:
            lines, used = lines + 1, 0.0
        whole = max(0, math.ceil((used + wide) / (0.94 * width)) - 1) if wide > width else 0  # letters leave the end of a line free
        lines, used = lines + whole, min(width, used + wide - whole * 0.94 * width)
    return lines, used


def text_height(text: str, width: float, size: float, *, bold: bool = False) -> float:
    """Height in inches of `text` broken at `width` inches."""
    return line_count(text, width, size, bold=bold) * size * _LINE / 72


def largest(texts: Sequence[str], width: float, height: float, sizes: Sequence[float], *, gap: float = 0.5, bold: bool = False) -> float:
    """The first of `sizes` at which all paragraphs fit, else the last; `gap` stands between them, in font sizes."""
    for size in sizes:
        between = gap * size / 72 * max(0, len(texts) - 1)
        if sum(text_height(text, width, size, bold=bold) for text in texts) + between <= height:
            return size
    return sizes[-1]


def joined(text: str) -> str:
    """`text` with numbers and their percent signs held together at the end of a line."""
    return text.replace(" %", "\u00a0%")


def short(text: str, most: int) -> str:
    """`text` with its middle left out where it has more than `most` characters."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def clipped(text: str, most: int) -> str:
    """`text` on one line, ended by `…` at a word's end where it has more than `most` characters."""
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    return f"{flat[: most - 1].rsplit(' ', 1)[0] if ' ' in flat[: most - 1] else flat[: most - 1]}…"


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.41
    if char in _WIDE or ord(char) >= 0x2E80:
        return 1.0
    return 0.72 if char.isupper() else 0.64
