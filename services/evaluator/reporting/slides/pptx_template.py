"""An empty 16:9 presentation with the deck's theme and three layouts."""

from copy import deepcopy
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import PP_ALIGN
from pptx.opc.constants import RELATIONSHIP_TYPE as RT
from pptx.oxml import parse_xml
from pptx.util import Emu, Inches, Pt

from services.evaluator.reporting.slides.page import FOOTER, HEIGHT, NUMBER, ROOM, TITLE, WIDTH, Box
from services.evaluator.reporting.slides.theme import QUIET, themed

OPENING, BULLETED, TITLED = 0, 1, 2
"""Layouts: the opening slide, a title over bullets, a title alone."""
_KEPT = (0, 1, 5)  # their places in the built-in template
_OPENING_TITLE, _OPENING_SUBTITLE = Box(0.9, 1.2, 11.5, 1.75), Box(0.9, 3.1, 11.5, 0.6)
_NAMESPACES = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'


def blank_deck() -> Any:
    """A python-pptx presentation without slides; its layouts stand in the order of OPENING, BULLETED, TITLED."""
    show = Presentation()
    show.slide_width, show.slide_height = Inches(WIDTH), Inches(HEIGHT)
    for layout in [layout for i, layout in enumerate(show.slide_layouts) if i not in _KEPT]:
        show.slide_layouts.remove(layout)
    theme = show.slide_master.part.part_related_by(RT.THEME)
    theme._blob = themed(theme.blob)
    _drop_leftovers(show)
    _set_master(show.slide_master)
    _set_opening(show.slide_layouts[OPENING])
    return show


def place(shape: Any, box: Box) -> None:
    shape.left, shape.top, shape.width, shape.height = (Inches(length) for length in (box.left, box.top, box.width, box.height))


def number_slide(slide: Any, footer: str) -> None:
    """Give the slide its layout's footer, saying `footer`, and its number; python-pptx leaves both out."""
    for found in slide.slide_layout.placeholders:
        kind = found.element.ph.get("type")
        if kind in ("ftr", "sldNum"):
            copy = deepcopy(found.element)
            copy.nvSpPr.cNvPr.set("id", str(1 + max(shape.shape_id for shape in slide.shapes)))
            slide.shapes._spTree.append(copy)
            if kind == "ftr":
                _sign(slide.shapes[-1].text_frame, footer)


def _sign(frame: Any, footer: str) -> None:
    """Set outright what the layout says too, since LibreOffice does not read it there."""
    frame.text = footer
    paragraph = frame.paragraphs[0]
    paragraph.alignment = PP_ALIGN.LEFT
    font = paragraph.runs[0].font
    font.size, font.name, font.color.rgb = Pt(10), "+mn-lt", RGBColor.from_string(QUIET)


def _drop_leftovers(show: Any) -> None:
    """The template's own thumbnail, print settings and program name are not this deck's."""
    for owner, kinds in ((show.part.package, (RT.THUMBNAIL, RT.EXTENDED_PROPERTIES)), (show.part, (RT.PRINTER_SETTINGS,))):
        for key in [key for key, relation in owner._rels.items() if relation.reltype in kinds]:
            owner._rels.pop(key)


def _set_master(master: Any) -> None:
    places = {"title": TITLE, "body": ROOM, "dt": Box(9.7, 6.98, 1.9, 0.3), "ftr": FOOTER, "sldNum": NUMBER}
    for found in master.placeholders:
        kind = found.element.ph.get("type")
        place(found, places[kind])
        body = found.text_frame._txBody.bodyPr
        for child in list(body):
            body.remove(child)  # automatic shrinking would hide a text that does not fit
        body.set("lIns", "0")
        body.set("rIns", "0")
        body.set("anchor", {"title": "b", "body": "t"}.get(kind, "ctr"))
        for style in found.element.xpath(".//a:lvl1pPr"):
            style.set("algn", "l" if kind == "ftr" else "r")
            style.find(".//{*}defRPr").set("sz", "1000")
            _colour(style.find(".//{*}defRPr"), QUIET)
    styles = master.element.find(".//{*}txStyles")
    _style(styles, "titleStyle", "lvl1pPr", 26, "l")
    for level, size in enumerate((18, 16, 14), 1):
        _style(styles, "bodyStyle", f"lvl{level}pPr", size, "l")
    master.shapes._spTree.insert(2, parse_xml(_rule(TITLE.left, TITLE.top + TITLE.height + 0.08, 0.9)))


def _set_opening(layout: Any) -> None:
    layout.element.set("showMasterSp", "0")
    for found in layout.placeholders:
        kind = found.element.ph.get("type")
        if kind in ("ctrTitle", "subTitle"):
            place(found, _OPENING_TITLE if kind == "ctrTitle" else _OPENING_SUBTITLE)
            found.text_frame._txBody.bodyPr.set("anchor", "b" if kind == "ctrTitle" else "t")
            for style in found.element.xpath(".//a:lvl1pPr"):
                style.set("algn", "l")
                if kind == "subTitle":
                    _colour(style.find(".//{*}defRPr"), QUIET)
    layout.shapes._spTree.insert(2, parse_xml(_rule(0, 0, WIDTH, 0.35)))


def _style(styles: Any, name: str, level: str, size: int, align: str) -> None:
    found = styles.find(f"{{*}}{name}").find(f"{{*}}{level}")
    found.set("algn", align)
    run = found.find("{*}defRPr")
    run.set("sz", str(Pt(size).centipoints))
    if name == "titleStyle":
        run.set("b", "1")
        run.find(".//{*}schemeClr").set("val", "tx2")


def _colour(run: Any, colour: str) -> None:
    for fill in run.findall("{*}solidFill"):
        run.remove(fill)
    run.insert(0, parse_xml(f'<a:solidFill {_NAMESPACES}><a:srgbClr val="{colour}"/></a:solidFill>'))


def _rule(left: float, top: float, width: float, height: float = 0.04) -> str:
    """A bar of the first accent, a decoration of the layout."""
    x, y, wide, tall = (Emu(Inches(length)) for length in (left, top, width, height))
    return (
        f'<p:sp {_NAMESPACES}><p:nvSpPr><p:cNvPr id="99" name="Rule"/><p:cNvSpPr/><p:nvPr userDrawn="1"/></p:nvSpPr><p:spPr>'
        f'<a:xfrm><a:off x="{x}" y="{y}"/><a:ext cx="{wide}" cy="{tall}"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/></a:prstGeom>'
        '<a:solidFill><a:schemeClr val="accent1"/></a:solidFill><a:ln><a:noFill/></a:ln></p:spPr></p:sp>'
    )
