"""A report as data, which the HTML and the Markdown are two renderings of.

Own words (`str` in paragraphs, bullets, cells and notes) may hold `code` and **bold**; a renderer escapes all else, so that the words of
questions and models are inert wherever they stand. Long texts of questions and models stand in `Card` alone, where nothing is marked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.evaluator.reporting.charts import AnyChart


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    entries: Sequence[str]


@dataclass(frozen=True)
class Tile:
    """A number that stands out, such as the best condition's accuracy."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Verdict:
    """The answer that the run gives, `word` being `reached`, `not reached` or `not shown`."""

    word: str
    text: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Table:
    """The first cell of a row names it. Columns whose cells are numbers are set right-aligned by the renderer."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    source: str
    """Where the numbers come from: file and field."""
    folded: bool = False
    """Shown on demand, where the page allows it."""


@dataclass(frozen=True)
class Figure:
    chart: AnyChart


@dataclass(frozen=True)
class Card:
    """A row of the data as it was: (name, text) pairs, all of them untrusted."""

    title: str
    fields: Sequence[tuple[str, str]]
    verdict: str
    """`right`, `wrong` or `none`: how the row ended."""


@dataclass(frozen=True)
class Cards:
    heading: str
    cards: Sequence[Card]
    source: str


Block = Paragraph | Bullets | Verdict | Table | Figure | Cards


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    title: str
    subtitle: str
    sections: Sequence[Section]

    @property
    def charts(self) -> list[AnyChart]:
        """Every figure, in the order of the page."""
        return [block.chart for section in self.sections for block in section.blocks if isinstance(block, Figure)]
