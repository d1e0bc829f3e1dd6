"""report.html in a real browser: quiet, closed to the outside, legible in light and dark, and on a phone."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_runs import attacking, free, write_predictions, write_whole

from askback.tasks import task_named
from services.evaluator.reporting.publishing import publish
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import RunFolder

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is among the dev extras")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; `apt-get install chromium`")
DEV = Path(os.environ.get("ASKBACK_DATA", "../shared/data")) / "strategyqa" / "dev.jsonl"

CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour, opacity = 1) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255 * opacity];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => (v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4));
    return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      if (at instanceof SVGElement) continue;
      layers.push(rgba(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const covered = (text, below) => {
    const box = text.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
    for (const rect of text.ownerSVGElement.querySelectorAll('rect')) {
      const r = rect.getBoundingClientRect();
      if (r.x <= x && x <= r.right && r.y <= y && y <= r.bottom) {
        const style = getComputedStyle(rect);
        below = over(rgba(style.fill, Number(style.fillOpacity)), below);
      }
    }
    return below;
  };
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest('title, desc, style') || node.closest('.skip, .unseen')) continue;
    const svg = node instanceof SVGElement, style = getComputedStyle(node);
    const below = svg ? covered(node, ground(node)) : ground(node);
    found.push([ratio(over(rgba(svg ? style.fill : style.color), below), below), walk.currentNode.data.trim().slice(0, 60)]);
  }
  return found;
}"""
MARKS = """() => [...document.querySelectorAll('svg .mark, svg .whisker, svg .curve, svg .base')].map((node) => {
  const style = getComputedStyle(node); return [style.stroke, getComputedStyle(node.closest('section')).backgroundColor]; })"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        one = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(write_whole(tmp_path_factory.mktemp("runs") / "whole", attacking()), "strategyqa")


def published(run: Path, task: str) -> Path:
    score_run(RunFolder(run), task_named(task), 0)
    publish(RunFolder(run))
    return run


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`visit(run, color_scheme="dark")` opens the run's report; at the end nothing was complained of and nothing else was asked for."""
    contexts, complaints, asked = [], [], []

    def open_page(run: Path, width: int = 1280, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((run / "report.html").as_uri())
        shots = Path(os.environ.get("REPORT_SHOTS") or tmp_path)
        shots.mkdir(parents=True, exist_ok=True)
        shot = shots / f"{run.name}-{width}-{options.get('color_scheme', 'light')}.png"
        page.screenshot(path=shot, full_page=True)
        assert shot.stat().st_size > 20_000
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert asked and all(url.startswith("file://") and url.endswith("/report.html") for url in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground(visit: Callable[..., Any], whole: Path, scheme: str) -> None:
    page = visit(whole, color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 500
    assert [pair for pair in found if pair[0] < 4.5] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_mark_stands_out_from_the_sheet(visit: Callable[..., Any], whole: Path, scheme: str) -> None:
    pairs = {tuple(pair) for pair in visit(whole, color_scheme=scheme).evaluate(MARKS)}
    assert len(pairs) >= 5
    assert [pair for pair in pairs if contrast(*pair) < 3] == []


def contrast(a: str, b: str) -> float:
    lights = sorted(luminance([int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")]) for colour in (a, b))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(rgb: list[int]) -> float:
    linear = [v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_phone_scrolls_the_tables_and_not_the_page(visit: Callable[..., Any], whole: Path) -> None:
    page = visit(whole, width=390, device_scale_factor=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("[...document.querySelectorAll('.scroll')].some((node) => node.scrollWidth > node.clientWidth)")
    assert page.evaluate("document.querySelectorAll('.scroll:not([tabindex])').length") == 0


def test_the_page_can_be_read_without_seeing_it(visit: Callable[..., Any], whole: Path) -> None:
    page = visit(whole)
    figures = page.evaluate("""() => [...document.querySelectorAll('svg')].map((svg) => [svg.getAttribute('role'),
        ...svg.getAttribute('aria-labelledby').split(' ').map((id) => document.getElementById(id).textContent)])""")
    assert len(figures) >= 7
    assert all(role == "img" and title and len(alt) > 30 for role, title, alt in figures)
    levels = [int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((node) => node.tagName)")]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    assert page.evaluate("document.querySelectorAll('table').length === document.querySelectorAll('table > caption').length")
    assert page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"


def test_words_of_models_are_inert(visit: Callable[..., Any], whole: Path) -> None:
    page = visit(whole)
    assert page.title() == "Run whole – askback"
    assert page.evaluate("document.querySelectorAll('script, img, iframe, object, form, link, [onerror]').length") == 0
    assert "<script>document.title='owned'</script>" in page.text_content("main")
    policy = page.get_attribute("meta[http-equiv]", "content")
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy


def test_print_shows_what_is_folded(visit: Callable[..., Any], whole: Path) -> None:
    page = visit(whole)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.pdf(format="A4")[:5] == b"%PDF-"


def test_scores_alone_and_open_answers_make_a_page(visit: Callable[..., Any], tmp_path: Path) -> None:
    bare = visit(published(write_predictions(tmp_path / "bare", attacking(12)), "strategyqa"))
    assert bare.locator("#training, #data svg").count() == 0
    open_answers = visit(published(write_whole(tmp_path / "hotpot", free()), "hotpotqa"))
    assert open_answers.locator("#calibration").count() == 0
    assert "joint F1" in open_answers.text_content("#results")


@pytest.mark.skipif(not DEV.is_file(), reason=f"{DEV} is not here")
def test_a_run_over_the_official_questions(visit: Callable[..., Any], tmp_path: Path) -> None:
    samples = [task_named("strategyqa").read(json.loads(line)) for line in DEV.read_text(encoding="utf-8").splitlines()]
    run = published(write_whole(tmp_path / "official", samples), "strategyqa")
    for scheme in ("light", "dark"):
        page = visit(run, color_scheme=scheme)
        assert "229 test questions" in page.text_content("header")
        assert [pair for pair in page.evaluate(CONTRASTS) if pair[0] < 4.5] == []
    assert visit(run, width=390).evaluate("document.documentElement.scrollWidth") == 390
