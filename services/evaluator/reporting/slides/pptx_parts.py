"""Text, tables and diagrams as native shapes."""

import re
from typing import Any

from pptx.dml.color import RGBColor
from pptx.enum.dml import MSO_THEME_COLOR
from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml import parse_xml
from pptx.util import Emu, Inches, Pt

from services.evaluator.reporting.slides.measure import joined
from services.evaluator.reporting.slides.page import Box, Diagram, Grid, Line, Node, Words
from services.evaluator.reporting.slides.pptx_template import place
from services.evaluator.reporting.slides.theme import GRID, QUIET, blend, text_on

_SIDES = {"top": 0, "left": 1, "bottom": 2, "right": 3}  # connection sites of a rectangle
_MARKS = re.compile(r"(\*\*.+?\*\*)")
_UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold
_NUMBER = re.compile(r"^[<+−-]?\s?[\d.,]+( %| s| USD)?( \[.*\])?( of [\d,]+)?$|^–$")


def describe(shape: Any, alt: str, name: str = "") -> None:
    """Set what a screen reader says of the shape."""
    properties = shape._element.xpath(".//p:cNvPr")[0]
    properties.set("descr", clean(alt))
    if name:
        properties.set("name", name)


def clean(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)


def add_words(slide: Any, words: Words) -> None:
    """A text box or card, or the slide's body placeholder for look `body`."""
    if words.look == "body":
        shape = slide.placeholders[1]
    elif words.look == "card":
        shape = slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, 0, 0, 0, 0)
        shape.fill.solid()
        shape.fill.fore_color.theme_color = MSO_THEME_COLOR.BACKGROUND_2
        _plain(shape)
    else:
        shape = slide.shapes.add_textbox(0, 0, 0, 0)
    place(shape, words.box)
    describe(shape, words.alt or " ".join(line.text for line in words.lines)[:200])
    frame = shape.text_frame
    frame.word_wrap = True
    side = Inches(0.18) if words.look == "card" else 0
    frame.margin_left = frame.margin_right = side
    frame.vertical_anchor = MSO_ANCHOR.MIDDLE if words.look == "card" and not words.long else MSO_ANCHOR.TOP
    if words.long:
        frame.margin_top = frame.margin_bottom = Inches(0.15)
    for i, line in enumerate(words.lines):
        _write(frame.paragraphs[0] if i == 0 else frame.add_paragraph(), line, last=i == len(words.lines) - 1)


def add_grid(slide: Any, grid: Grid) -> None:
    """A native table with its header marked as such; columns of numbers are set right."""
    box = grid.box
    lengths = (Inches(length) for length in (box.left, box.top, box.width, box.height))
    frame = slide.shapes.add_table(len(grid.rows) + 1, len(grid.header), *lengths)
    describe(frame, grid.alt, "Table")
    table = frame.table
    table.first_row, table.horz_banding = True, False
    for column, width in zip(table.columns, grid.widths, strict=True):
        column.width = Inches(width)
    for row, height in zip(table.rows, grid.heights, strict=True):
        row.height = Inches(height)
    right = [all(_NUMBER.match(row[c]) for row in grid.rows) and any(row[c] != "–" for row in grid.rows) for c in range(len(grid.header))]
    for c, text in enumerate(grid.header):
        _cell(table.cell(0, c), text, grid.size, ground="", ink="FFFFFF", right=right[c], bold=True)
    for r, row in enumerate(grid.rows):
        for c, text in enumerate(row):
            shade = grid.shades.get((r, c))
            ground = blend(shade) if shade is not None else "F1F4F8" if r % 2 else "FFFFFF"
            _cell(table.cell(r + 1, c), text, grid.size, ground=ground, ink=text_on(ground), right=right[c], bold=False)
    if grid.shades:
        _centre(table)


def _centre(table: Any) -> None:
    """The numbers of a heat map stand in the middle of their squares."""
    for row in table.rows:
        for cell in list(row.cells)[1:]:
            cell.text_frame.paragraphs[0].alignment = PP_ALIGN.CENTER


def add_diagram(slide: Any, diagram: Diagram) -> None:
    """Boxes, and arrows glued to them, so that they stay together when someone moves a box."""
    shapes = [_node(slide, node) for node in diagram.nodes]
    for link in diagram.links:
        start, end = diagram.nodes[link.start].box, diagram.nodes[link.end].box
        bent = abs(_site(start, link.start_side)[0] - _site(end, link.end_side)[0]) > 0.01
        bent = bent and abs(_site(start, link.start_side)[1] - _site(end, link.end_side)[1]) > 0.01
        arrow = slide.shapes.add_connector(MSO_CONNECTOR.ELBOW if bent else MSO_CONNECTOR.STRAIGHT, 0, 0, 0, 0)
        arrow.begin_connect(shapes[link.start], _SIDES[link.start_side])
        arrow.end_connect(shapes[link.end], _SIDES[link.end_side])
        arrow.line.width = Pt(2)
        arrow.line.color.rgb = RGBColor.from_string(QUIET)
        arrow.line._get_or_add_ln().append(parse_xml('<a:tailEnd xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" type="triangle"/>'))
        describe(arrow, link.alt, "Arrow")


def _plain(shape: Any) -> None:
    """No outline, and none of the shadow and centring that a shape has from the template."""
    style = shape._element.find("{*}style")
    shape._element.remove(style)
    shape.line.fill.background()


def _site(box: Box, side: str) -> tuple[float, float]:
    x = {"left": box.left, "right": box.left + box.width}.get(side, box.left + box.width / 2)
    y = {"top": box.top, "bottom": box.top + box.height}.get(side, box.top + box.height / 2)
    return x, y


def _node(slide: Any, node: Node) -> Any:
    shape = slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, 0, 0, 0, 0)
    place(shape, node.box)
    describe(shape, f"{node.title}: {node.text}", node.title)
    shape.fill.solid()
    shape.fill.fore_color.theme_color = list(MSO_THEME_COLOR)[list(MSO_THEME_COLOR).index(MSO_THEME_COLOR.ACCENT_1) + node.accent - 1]
    _plain(shape)
    frame = shape.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    frame.margin_left = frame.margin_right = Inches(0.1)
    _write(frame.paragraphs[0], Line(node.title, 15, bold=True, tone="white"))
    _write(frame.add_paragraph(), Line(node.text, 12, tone="white"), last=True)
    for paragraph in frame.paragraphs:
        paragraph.alignment, paragraph.space_after = PP_ALIGN.CENTER, Pt(2)
    return shape


def _write(paragraph: Any, line: Line, *, last: bool = False) -> None:
    for piece in [line.text] if line.raw else _MARKS.split(line.text):
        if not piece:
            continue
        run = paragraph.add_run()
        marked = not line.raw and piece.startswith("**") and len(piece) > 4
        run.text = clean(piece if line.raw else joined((piece[2:-2] if marked else piece).replace("`", "")))
        run.font.size, run.font.bold = Pt(line.size), line.bold or marked
        _tint(run.font.color, line.tone)
    paragraph.space_before = Pt(0)
    paragraph.space_after = Pt(0 if last else line.size * line.gap)
    paragraph.line_spacing = 1.0
    paragraph.alignment = PP_ALIGN.LEFT


def _tint(colour: Any, tone: str) -> None:
    themes = {"ink": MSO_THEME_COLOR.TEXT_1, "accent": MSO_THEME_COLOR.ACCENT_1, "white": MSO_THEME_COLOR.BACKGROUND_1}
    if tone in themes:
        colour.theme_color = themes[tone]
    else:
        colour.rgb = RGBColor.from_string(QUIET)


def _cell(cell: Any, text: str, size: float, *, ground: str, ink: str, right: bool, bold: bool) -> None:
    cell.margin_left = cell.margin_right = Inches(0.08)
    cell.margin_top = cell.margin_bottom = Inches(0.04)
    cell.vertical_anchor = MSO_ANCHOR.MIDDLE
    cell.fill.solid()
    if ground:
        cell.fill.fore_color.rgb = RGBColor.from_string(ground)
    else:
        cell.fill.fore_color.theme_color = MSO_THEME_COLOR.TEXT_2
    paragraph = cell.text_frame.paragraphs[0]
    run = paragraph.add_run()
    run.text = clean(text)
    run.font.size, run.font.bold, run.font.color.rgb = Pt(size), bold, RGBColor.from_string(ink)
    paragraph.alignment = PP_ALIGN.RIGHT if right else PP_ALIGN.LEFT
    _underline(cell)


def _underline(cell: Any) -> None:
    """Only a hairline below each cell: `lnL`, `lnR`, `lnT`, `lnB` stand before the fill."""
    properties = cell._tc.get_or_add_tcPr()
    for place_, name in enumerate(("lnL", "lnR", "lnT", "lnB")):
        fill = f'<a:solidFill><a:srgbClr val="{GRID}"/></a:solidFill>' if name == "lnB" else "<a:noFill/>"
        width = Emu(6350)
        line = f'<a:{name} xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" w="{width}">{fill}</a:{name}>'
        properties.insert(place_, parse_xml(line))
