"""Slides drawn as a .pptx file."""

import io
from collections.abc import Sequence
from typing import Any

from pptx.util import Pt

from services.evaluator.reporting.slides.measure import largest, text_height
from services.evaluator.reporting.slides.package import reproducible
from services.evaluator.reporting.slides.page import TITLE, TITLE_SIZES, Diagram, Grid, Plot, Slide, Words
from services.evaluator.reporting.slides.pptx_parts import add_diagram, add_grid, add_words, clean
from services.evaluator.reporting.slides.pptx_plots import add_plot
from services.evaluator.reporting.slides.pptx_template import BULLETED, OPENING, TITLED, blank_deck, number_slide

_OPENING_SIZES = (40, 36, 32, 28)
_ONE_LINE = 22


def drawn(slides: Sequence[Slide], title: str, footer: str) -> bytes:
    """The file's bytes; `title` is the document's, `footer` stands on every slide but the first."""
    show = blank_deck()
    properties = show.core_properties
    properties.title, properties.author, properties.last_modified_by = clean(title), "askback", "askback"
    properties.comments = properties.keywords = properties.category = ""
    properties.subject, properties.language = "Run report", "en"
    for slide in slides:
        _draw(show, slide, footer)
    buffer = io.BytesIO()
    show.save(buffer)
    return reproducible(buffer.getvalue())


def _draw(show: Any, slide: Slide, footer: str) -> None:
    bulleted = any(isinstance(part, Words) and part.look == "body" for part in slide.parts)
    made = show.slides.add_slide(show.slide_layouts[OPENING if slide.subtitle else BULLETED if bulleted else TITLED])
    _write_title(made, slide)
    for part in slide.parts:
        match part:
            case Words():
                add_words(made, part)
            case Grid():
                add_grid(made, part)
            case Plot():
                add_plot(made, part)
            case Diagram():
                add_diagram(made, part)
    if not slide.subtitle:
        number_slide(made, clean(footer))
    made.notes_slide.notes_text_frame.text = clean(slide.notes)


def _write_title(made: Any, slide: Slide) -> None:
    size = _title_size(slide)
    made.shapes.title.text = clean(slide.title)
    for run in made.shapes.title.text_frame.paragraphs[0].runs:
        run.font.size = Pt(size)
    if slide.subtitle:
        made.placeholders[1].text = clean(slide.subtitle)
        for run in made.placeholders[1].text_frame.paragraphs[0].runs:
            run.font.size = Pt(largest([slide.subtitle], 11.5, 0.6, (18, 16, 14, 12)))


def _title_size(slide: Slide) -> float:
    """One line where it can be read so, since a title's last word alone on a line looks lost; else two."""
    if slide.subtitle:
        return largest([slide.title], 11.5, 1.6, _OPENING_SIZES, bold=True)
    if text_height(slide.title, TITLE.width, _ONE_LINE, bold=True) <= TITLE.height / 2:
        return largest([slide.title], TITLE.width, TITLE.height / 2, (*TITLE_SIZES[:2], _ONE_LINE), bold=True)
    return largest([slide.title], TITLE.width, TITLE.height, TITLE_SIZES, bold=True)
