"""A document as Markdown, with its figures beside it."""

import re

from services.evaluator.reporting.document import Block, Bullets, Card, Cards, Document, Figure, Paragraph, Section, Table, Verdict

_MARKUP = re.compile(r"(`[^`]+`|\*\*[^*]+\*\*)")
_SPECIAL = re.compile(r"([\\`*_<>|#~&]|\](?=[(\[:]))")
_FRONT = re.compile(r"^(\d*)([-+=.)])(?=\s|$)")


def markdown(document: Document) -> str:
    """The whole report; figures are looked for in `figures/<name>.svg`."""
    parts = [f"# {literal(document.title)}", literal(document.subtitle)]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def literal(text: str) -> str:
    """Untrusted words on one line, with nothing in them marked up."""
    return _FRONT.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", " ".join(text.split())))


def marked(text: str) -> str:
    """Own words: `code` and **bold** stay, all else is literal."""
    pieces = [piece if _MARKUP.fullmatch(piece) else _SPECIAL.sub(r"\\\1", piece) for piece in _MARKUP.split(" ".join(text.split()))]
    return "".join(pieces)


def _section(section: Section) -> list[str]:
    return [f"## {literal(section.title)}", *(part for block in section.blocks for part in _block(block))]


def _block(block: Block) -> list[str]:
    if isinstance(block, Paragraph):
        return [marked(block.text)]
    if isinstance(block, Bullets):
        return ["\n".join(f"- {marked(item)}" for item in block.entries)]
    if isinstance(block, Verdict):
        return [marked(block.text)]
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        chart = block.chart
        return [f"![{literal(chart.alt)}](figures/{chart.name}.svg)", f"**{literal(chart.title)}.** Source: {literal(chart.source)}"]
    return _cards(block)


def _table(block: Table) -> list[str]:
    lines = [block.header, ["---"] * len(block.header), *block.rows]
    text = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    source = f"Source: {literal(block.source)}"
    if block.folded:
        return [f"<details><summary>{_plain(block.caption)}</summary>", text, source, "</details>"]
    return [f"**{_plain(block.caption)}**", text, source]


def _cell(cell: str) -> str:
    """A pipe ends a cell even within `code`, so there it is escaped too."""
    return re.sub(r"(?<!\\)\|", r"\\|", marked(cell))


def _plain(text: str) -> str:
    return text.replace("`", "").replace("&", "&amp;").replace("<", "&lt;")


def _cards(block: Cards) -> list[str]:
    return [f"### {literal(block.heading)}", *(part for card in block.cards for part in _card(card)), f"Source: {literal(block.source)}"]


def _card(card: Card) -> list[str]:
    return [f"#### {literal(card.title)}", "\n".join(f"- **{name}:** {literal(text)}" for name, text in card.fields)]
