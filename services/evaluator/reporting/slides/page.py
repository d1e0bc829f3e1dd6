"""What stands on a slide, apart from how it is drawn. Lengths are inches, sizes points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.evaluator.reporting.charts import AnyChart

WIDTH, HEIGHT = 13.333, 7.5
TITLE_SIZES = (26, 24, 22, 20)
BODY_SIZES = (18, 17, 16, 15, 14, 13, 12)
NOTE_SIZE = 12


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    width: float
    height: float


TITLE = Box(0.6, 0.35, 12.13, 0.95)
ROOM = Box(0.6, 1.6, 12.13, 5.2)
"""What a slide's content has: below the title, above the footer."""
FOOTER = Box(0.6, 6.98, 9.0, 0.3)
NUMBER = Box(11.73, 6.98, 1.0, 0.3)


@dataclass(frozen=True)
class Line:
    """A paragraph; `**bold**` and `` `code` `` marks are read."""

    text: str
    size: float
    bold: bool = False
    tone: str = "ink"
    """`ink`, `quiet`, `accent` or `white`."""
    gap: float = 0.5
    """Room below, in font sizes."""
    raw: bool = False
    """Leave marks as they are, since the text is not ours: questions, and what models said."""


@dataclass(frozen=True)
class Words:
    box: Box
    lines: Sequence[Line]
    look: str = "plain"
    """`plain`, `body` (the slide's placeholder, with bullets) or `card` (on a tinted ground)."""
    long: bool = False
    """A card of running text, which starts at its top."""
    alt: str = ""


@dataclass(frozen=True)
class Grid:
    """A table. Widths and heights are of columns and rows, the header's first."""

    box: Box
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    heights: Sequence[float]
    size: float
    alt: str
    shades: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """By (row, column) of the body, from 0 (white) to 1 (full colour)."""


@dataclass(frozen=True)
class Plot:
    box: Box
    chart: AnyChart


@dataclass(frozen=True)
class Node:
    box: Box
    title: str
    text: str
    accent: int
    """Which accent of the theme, from 1."""


@dataclass(frozen=True)
class Link:
    """An arrow between two nodes of the slide, by their index; a side is `top`, `left`, `bottom` or `right`."""

    start: int
    start_side: str
    end: int
    end_side: str
    alt: str


@dataclass(frozen=True)
class Diagram:
    nodes: Sequence[Node]
    links: Sequence[Link]


Part = Words | Grid | Plot | Diagram


@dataclass(frozen=True)
class Slide:
    title: str
    parts: Sequence[Part]
    notes: str
    """What to say, and where each number comes from."""
    subtitle: str = ""
    """Of the opening slide alone."""
