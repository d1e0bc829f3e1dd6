"""The deck as a .pptx file: native, described, numbered, the same on every run, and within its slides at the worst."""

import io
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pptx import Presentation
from pptx.util import Inches
from slide_facts import matrix, worst

from askback.contracts.evaluator import Scores
from services.evaluator.reporting.chart_data import charts
from services.evaluator.reporting.charts import Bar, BarChart
from services.evaluator.reporting.examples import ExampleRow, Examples
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.slides.deck import deck, slides
from services.evaluator.reporting.slides.measure import clipped, largest, line_count, short, text_width
from services.evaluator.reporting.slides.page import HEIGHT, ROOM, WIDTH, Grid
from services.evaluator.reporting.slides.tables import grids
from services.evaluator.reporting.slides.theme import COLOURS, blend, contrast, text_on

C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"


def made(facts: RunFacts) -> bytes:
    return deck(facts, [*charts(facts), matrix(facts)])


@pytest.fixture(scope="module")
def worst_deck() -> bytes:
    return made(worst())


@pytest.fixture(scope="module")
def common_deck() -> bytes:
    return made(worst(7, 12, 80))


def opened(content: bytes) -> list[Any]:
    return list(Presentation(io.BytesIO(content)).slides)


def shapes(content: bytes) -> Iterator[Any]:
    for slide in opened(content):
        yield from slide.shapes


def test_every_slide_has_its_title_notes_and_number(common_deck: bytes) -> None:
    found = opened(common_deck)
    titles = [slide.shapes.title.text_frame.text for slide in found]
    assert titles[0].startswith("The target is reached: +")
    assert all(titles) and len(titles) == len(set(titles)) == len(found) > 15
    for slide in found:
        assert len(slide.notes_slide.notes_text_frame.text) > 30
        kinds = [shape.placeholder_format.type.name for shape in slide.placeholders]
        assert slide is found[0] or "SLIDE_NUMBER" in kinds
        assert not [shape for shape in slide.placeholders if shape.has_text_frame and not shape.text_frame.text.strip()], "an empty placeholder"
    assert sum("scores.json" in slide.notes_slide.notes_text_frame.text for slide in found) > 8


def test_everything_is_native_and_described(common_deck: bytes) -> None:
    kinds = {shape.shape_type.name for shape in shapes(common_deck)}
    assert "PICTURE" not in kinds and kinds >= {"CHART", "TABLE", "PLACEHOLDER", "AUTO_SHAPE", "TEXT_BOX"}
    with zipfile.ZipFile(io.BytesIO(common_deck)) as package:
        assert not [name for name in package.namelist() if re.search(r"\.(png|jpe?g|emf|svg|bin)$", name)]
    for shape in shapes(common_deck):
        described = shape._element.xpath(".//p:cNvPr")[0].get("descr", "")
        assert described or shape.is_placeholder, f"{shape.name} has no alternative text"
        if shape.has_chart:
            assert len(described) > 40


def test_the_loop_is_drawn_with_arrows_that_stick(common_deck: bytes) -> None:
    arrows = [shape for shape in shapes(common_deck) if shape._element.tag.endswith("}cxnSp")]
    assert len(arrows) == 8
    assert all(arrow._element.xpath(".//a:stCxn") and arrow._element.xpath(".//a:endCxn") for arrow in arrows)


def test_bars_carry_their_values_and_intervals() -> None:
    bars = [Bar("base.direct", 50.0, 44.0, 57.0, "direct"), Bar("x.cot", 60.0, 52.0, 66.0, "cot")]
    chart = BarChart("accuracy", "Accuracy", "Two conditions.", "scores.json", "%", bars, 53.3, "majority 53.3 %")
    facts = worst(2, 9)
    found = [
        shape.chart for shape in shapes(deck(facts, [chart])) if shape.has_chart and "Accuracy" in shape._element.xpath(".//p:cNvPr")[0].get("descr")
    ]
    plot = found[0].plots[0]
    assert list(plot.categories) == ["base.direct", "x.cot", "majority 53.3 %"]
    assert {series.name: list(series.values) for series in plot.series} == {
        "direct": [50.0, None, None], "cot": [None, 60.0, None], "baseline": [None, None, 53.3],
    }  # fmt: skip
    ends = [
        [float(v.text) for v in bars.find(f"{C}{side}").iter(f"{C}v")]
        for bars in plot.series[0]._element.iter(f"{C}errBars")
        for side in ("minus", "plus")
    ]
    assert ends == [[6.0, 8.0, 0.0], [7.0, 6.0, 0.0]]
    assert [f.text for f in plot.series[0]._element.find(f"{C}errBars").iter(f"{C}f")] == ["Sheet1!$F$2:$F$4", "Sheet1!$E$2:$E$4"]


def test_charts_hold_the_data_that_they_show(common_deck: bytes) -> None:
    found = {shape._element.xpath(".//p:cNvPr")[0].get("descr").split(".")[0]: shape.chart for shape in shapes(common_deck) if shape.has_chart}
    kinds = [chart.chart_type.name for chart in found.values()]
    assert kinds.count("XY_SCATTER_LINES") == 2 and "XY_SCATTER" in kinds and kinds.count("BAR_CLUSTERED") >= 3
    for chart in found.values():
        assert all(any(value is not None for value in series.values) for series in chart.plots[0].series)
    calibration = next(chart for title, chart in found.items() if title.startswith("Calibration"))
    assert calibration.plots[0].series[-1].name == "perfectly calibrated"
    assert all(series._element.find(f"{C}errBars") is not None for series in list(calibration.plots[0].series)[:-1])


def test_the_workbooks_open_with_their_intervals(common_deck: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(common_deck)) as package:
        books = [package.read(name) for name in package.namelist() if name.endswith(".xlsx")]
    assert len(books) >= 7
    with zipfile.ZipFile(io.BytesIO(books[2])) as book:
        assert book.testzip() is None and b"created" not in book.read("docProps/core.xml")


def test_the_same_run_gives_the_same_bytes(common_deck: bytes) -> None:
    assert made(worst(7, 12, 80)) == common_deck
    with zipfile.ZipFile(io.BytesIO(common_deck)) as package:
        assert {entry.date_time for entry in package.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        core = package.read("docProps/core.xml").decode()
    assert "dcterms" not in re.sub(r"xmlns:\w+=\S+", "", core) and "<dc:creator>askback</dc:creator>" in core


def test_a_run_with_little_in_it_has_a_deck() -> None:
    only = RunFacts("r", Scores(task="hotpotqa", n=3, majority=1.0, conditions=worst(1).scores.conditions, comparisons=[]), None, {}, {}, [], {})
    titles = [slide.title for slide in slides(only, [])]
    assert titles[0] == "No gain over base direct is measured in this run"
    assert len(opened(deck(only, []))) == len(titles) >= 6


def test_words_of_others_stay_as_they_are() -> None:
    facts = worst(2, 9, 120)
    texts = "\n".join(shape.text_frame.text for shape in shapes(made(facts)) if shape.has_text_frame)
    assert "Would a <b>long</b> question & a **marked** one stay as they are, `so` that" in texts
    odd = ExampleRow("fixed", "q\x00\ud800", "here", "a\x0bb\x1b", "no", "yes")
    shown = RunFacts("r", facts.scores, None, {}, {}, [], {}, examples=Examples([odd], {"fixed": {"here": 1}}))
    assert "1 answer was fixed by asking" in [slide.shapes.title.text_frame.text for slide in opened(deck(shown, []))]


def test_no_shape_leaves_its_slide_and_no_text_is_too_small(worst_deck: bytes, common_deck: bytes) -> None:
    for shape in (*shapes(worst_deck), *shapes(common_deck)):
        assert shape.left >= 0 and shape.left + shape.width <= Inches(WIDTH) + 9, shape.name
        assert shape.top >= 0 and shape.top + shape.height <= Inches(HEIGHT), shape.name
        sizes = [int(size) for size in shape._element.xpath(".//a:rPr/@sz")]
        least = 1000 if shape.has_table or shape.is_placeholder else 1200
        assert all(size >= least for size in sizes), (shape.name, sizes)
        if shape.has_table:
            tall = sum(row.height for row in shape.table.rows)
            assert shape.top + tall <= Inches(ROOM.top + ROOM.height + 0.01)


def test_all_conditions_stand_in_the_tables_of_the_worst_deck(worst_deck: bytes) -> None:
    shown = {row.cells[0].text for shape in shapes(worst_deck) if shape.has_table for row in shape.table.rows}
    assert {s.condition.name for s in worst().scores.conditions} <= shown


def test_a_long_table_is_split_evenly() -> None:
    rows = [[f"row {i}", "1.5 [1.0, 2.0]"] for i in range(61)]
    found = grids(["name", "value"], rows, "Many rows")
    assert [row for grid in found for row in grid.rows] == rows
    lengths = [len(grid.rows) for grid in found]
    assert len(lengths) > 1 and max(lengths) - min(lengths) <= 3
    assert all(grid.size >= 10 and sum(grid.heights) <= ROOM.height + 1e-9 for grid in found)


def test_text_is_measured_wider_than_common_fonts_draw_it() -> None:
    arial = 0.5 * 12 / 72 * 60  # its lowercase is about half as wide as high
    assert text_width("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh", 12) > arial
    assert line_count("one two three", 10, 12) == 1 and line_count("one two three", 0.5, 12) == 3
    assert line_count("x" * 60, 1.0, 12) >= 6 and line_count("a\nb", 10, 12) == 2
    assert largest(["word " * 40], 4, 1, (30, 12, 10)) == 10
    assert short("abcdefghij", 5) == "ab…ij" and short("abc", 5) == "abc"
    assert clipped("one two three", 9) == "one two…" and clipped("one\ntwo", 9) == "one two" and clipped("x" * 20, 9) == "x" * 8 + "…"


@pytest.mark.parametrize("share", [i / 20 for i in range(21)])
def test_a_heat_maps_numbers_can_be_read(share: float) -> None:
    assert contrast(text_on(blend(share)), blend(share)) >= 4.5


def test_white_text_can_be_read_on_every_accent() -> None:
    assert all(contrast("FFFFFF", COLOURS[f"accent{i}"]) >= 4.5 for i in range(1, 7)) and contrast("FFFFFF", COLOURS["dk2"]) >= 4.5


def test_a_heat_map_is_a_shaded_table(common_deck: bytes) -> None:
    facts = worst(7, 12, 80)
    page = next(slide for slide in slides(facts, [matrix(facts)]) if slide.title.startswith("Two conditions say the same"))
    grid = next(part for part in page.parts if isinstance(part, Grid))
    assert grid.header[1:4] == ["1", "2", "3"] and grid.rows[0][:2] == ["1  gold", "100"] and grid.shades[0, 1] == 1.0


Words = list[tuple[float, float, float, float, str]]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, str], list[Words]]:
    """Each page's words as LibreOffice draws them, in inches; the pages' pictures stay in SLIDES_SHOTS, or in pytest's folder."""
    for program in ("soffice", "pdftotext", "pdftoppm"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (apt: libreoffice-impress, poppler-utils)")

    def render(content: bytes, name: str) -> list[Words]:
        folder = Path(os.environ.get("SLIDES_SHOTS") or tmp_path_factory.mktemp("slides"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.pptx").write_bytes(content)
        profile = f"-env:UserInstallation=file://{tmp_path_factory.mktemp('profile')}"
        office = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", str(folder), str(folder / f"{name}.pptx")]
        subprocess.run(office, check=True, capture_output=True, timeout=180)
        subprocess.run(["pdftoppm", "-r", "72", "-png", f"{name}.pdf", name], check=True, cwd=folder, timeout=120)
        subprocess.run(["pdftotext", "-bbox", f"{name}.pdf", f"{name}.html"], check=True, cwd=folder, timeout=120)
        return [boxes(page) for page in pages_of((folder / f"{name}.html").read_text(encoding="utf-8"))]

    return render


def pages_of(text: str) -> list[str]:
    return re.findall(r"<page .*?</page>", text, re.DOTALL)


def boxes(page: str) -> Words:
    page = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", page)
    found = []
    for word in ElementTree.fromstring(page).iter("word"):
        left, top, right, bottom = (float(word.attrib[key]) / 72 for key in ("xMin", "yMin", "xMax", "yMax"))
        found.append((left, top, right, bottom, word.text or ""))
    return found


@pytest.mark.parametrize("which", ["worst", "common"])
def test_every_word_stays_on_its_page_and_in_its_shape(
    which: str, rendered: Callable[[bytes, str], list[Words]], worst_deck: bytes, common_deck: bytes
) -> None:
    content = worst_deck if which == "worst" else common_deck
    drawn, wanted = rendered(content, which), opened(content)
    assert len(drawn) == len(wanted)
    for words, slide in zip(drawn, wanted, strict=True):
        frames = [frame(shape) for shape in slide.shapes]
        for left, top, right, bottom, text in words:
            assert left >= 0.3 and right <= WIDTH - 0.3 and top >= 0.2 and bottom <= HEIGHT - 0.1, (slide.shapes.title.text_frame.text, text)
            inside = any(x - 0.05 <= left and right <= x2 + 0.05 and y - 0.05 <= top and bottom <= y2 + 0.05 for x, y, x2, y2 in frames)
            assert inside, (slide.shapes.title.text_frame.text, text, left, top, right, bottom)


def frame(shape: Any) -> tuple[float, float, float, float]:
    tall = sum(row.height for row in shape.table.rows) if shape.has_table else shape.height
    return shape.left / 914400, shape.top / 914400, (shape.left + shape.width) / 914400, (shape.top + tall) / 914400
