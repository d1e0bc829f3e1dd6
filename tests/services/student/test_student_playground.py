"""The playground in a real browser: Chromium, driven by Playwright, before the whole service with a scripted engine.

Screenshots go to the folder PLAYGROUND_SHOTS, where it is set.
"""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from neighbours import Neighbours
from paced_engine import PacedEngine
from served_student import served

from services.student.adapters import Adapters
from services.student.app import create_app

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is among the dev extras")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; `apt-get install chromium`")
expect = playwright.expect

QUESTION = "Is the Amazon longer than the Rhine?"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    expect.set_options(timeout=10_000)
    with playwright.sync_playwright() as started:
        one = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def engine() -> PacedEngine:
    return PacedEngine()


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def environment() -> dict[str, str]:
    return {}


@pytest.fixture
def address(
    engine: PacedEngine, neighbours: Neighbours, open_adapters: Callable[[], Adapters], environment: dict[str, str], make_adapter: Callable[..., str]
) -> Iterator[str]:
    with served(create_app(engine, open_adapters(), neighbours.resolvers()), environment) as url:
        key = {"authorization": f"Bearer {environment.get('ASKBACK_API_KEY', 'none')}"}
        with httpx.Client(base_url=url, headers=key, trust_env=False) as http:
            for name in ("direct", "dialogue"):
                http.post("/v1/adapters", json={"name": name, "path": make_adapter(f"r1/{name}")}).raise_for_status()
            http.put("/v1/adapters/default", json={"name": "dialogue"}).raise_for_status()
        yield url


class Visit:
    """One person's window: what it asked of whom, and what its console said."""

    def __init__(self, context: Any, shots: Path) -> None:
        self.page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._shots = shots
        context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def steps(self, column: int = 0) -> list[str]:
        return [str(name) for name in self.column(column).locator(".step").evaluate_all("nodes => nodes.map(node => node.dataset.step)")]

    def column(self, index: int = 0) -> Any:
        return self.page.locator(".column").nth(index)

    def ask(self, question: str = QUESTION) -> None:
        self.page.fill("#question", question)
        self.page.click("#ask")

    def finished(self, column: int = 0) -> Any:
        """The sum at the end of a column, once it is there."""
        line = self.column(column).locator(".sum")
        expect(line).to_be_visible()
        return line

    def shot(self, name: str) -> None:
        self._shots.mkdir(parents=True, exist_ok=True)
        path = self._shots / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 5000


@pytest.fixture
def visit(browser: Any, address: str, tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    """`visit("#hash", color_scheme="dark")` opens the page in a fresh window."""
    contexts = []

    def open_page(path: str = "", **options: Any) -> Visit:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        visit = Visit(context, Path(os.environ.get("PLAYGROUND_SHOTS") or tmp_path))
        visit.page.goto(f"{address}/{path}")
        expect(visit.page.locator("#ready")).not_to_be_empty()
        return visit

    yield open_page
    for context in contexts:
        context.close()


def test_the_steps_arrive_one_by_one(visit: Callable[..., Visit], neighbours: Neighbours) -> None:
    held = neighbours.hold()
    one = visit()
    one.ask()
    expect(one.column().locator("[data-step=draft]")).to_contain_text("P(yes) 0.42")
    expect(one.column().locator("[data-step=draft] li")).to_have_text(["What is the Amazon?", "Where does it flow?"])
    assert one.steps() == ["draft"] and one.page.is_visible("#stop")
    held.set()
    total = one.finished()
    assert one.steps() == ["draft", "answers", "final"] and not one.page.is_visible("#stop")
    answers, final = one.column().locator("[data-step=answers]"), one.column().locator("[data-step=final]")
    expect(answers).to_contain_text("Answered by teacher")
    expect(answers.locator("dd")).to_have_text(["It is a river.", "It is in Peru."])
    expect(final.locator(".said")).to_have_text("yes")
    expect(final).to_contain_text("The draft said no.")
    expect(final).to_contain_text("P(yes) 0.83 (was 0.42, +0.41)")
    expect(answers.locator(".cost")).to_have_text(re.compile(r"^12 tokens · \d+ ms · \$0\.25$"))
    expect(total).to_have_text(re.compile(r"^In all 48 tokens · .+ · \$0\.25$"))
    assert one.column().locator(".steps").get_attribute("aria-live") == "polite"
    assert not one.complaints
    one.shot("steps")


def test_the_verdict_is_nowhere_on_the_page(visit: Callable[..., Visit]) -> None:
    one = visit("#mode=assisted&resolver=both")
    one.ask()
    one.finished()
    expect(one.column()).to_contain_text("Answered by teacher and retriever")
    expect(one.column()).to_contain_text("It is a river. The Amazon flows through Brazil.")
    assert "The answer is" not in one.page.inner_text("body")


def test_answering_the_student_oneself(visit: Callable[..., Visit], engine: PacedEngine) -> None:
    one = visit()
    one.column().locator("[data-choice=resolver]").select_option("me")
    one.ask()
    first, second = one.page.get_by_label("What is the Amazon?"), one.page.get_by_label("Where does it flow?")
    expect(first).to_be_focused()
    first.fill("A river of 6400 km.")
    second.press("Enter")
    one.finished()
    assert one.steps() == ["draft", "answers", "final"]
    expect(one.column().locator("[data-step=answers]")).to_contain_text("Answered by you")
    expect(one.column().locator("dd")).to_have_text(["A river of 6400 km.", "I do not know."])
    assert "A river of 6400 km." in " ".join(message.content for message in engine.calls[-1][1])
    one.shot("answered-oneself")


@pytest.mark.parametrize("mode", ["direct", "cot"])
def test_a_mode_of_one_step(visit: Callable[..., Visit], mode: str) -> None:
    one = visit(f"#mode={mode}&adapter=base")
    expect(one.column().locator("[data-choice=resolver]")).to_be_hidden()
    one.ask()
    one.finished()
    assert one.steps() == ["final"]
    expect(one.column()).to_contain_text("Adapter base")
    if mode == "cot":
        expect(one.column().locator(".text")).to_contain_text("It is so.")


def test_adapters_are_listed_with_the_default_marked(visit: Callable[..., Visit]) -> None:
    select = visit().column().locator("[data-choice=adapter]")
    expect(select.locator("option")).to_have_text(["dialogue (default)", "base", "direct"])
    assert select.input_value() == ""


def test_comparing_asks_both_at_the_same_time(visit: Callable[..., Visit], neighbours: Neighbours) -> None:
    held = neighbours.hold()
    one = visit(viewport={"width": 1200, "height": 900})
    one.page.check("#compare")
    one.column(1).locator("[data-choice=adapter]").select_option("direct")
    one.ask()
    one.finished(1)
    assert (one.steps(0), one.steps(1)) == (["draft"], ["final"])
    held.set()
    one.finished(0)
    expect(one.column(0)).to_contain_text("Adapter dialogue")
    expect(one.column(1)).to_contain_text("Adapter direct")
    left, right = one.column(0).bounding_box(), one.column(1).bounding_box()
    assert right["x"] >= left["x"] + left["width"] and right["y"] == left["y"]
    one.shot("compare")
    one.page.uncheck("#compare")
    assert one.page.locator(".column").count() == 1 and one.steps() == ["draft", "answers", "final"]


def test_on_a_phone_the_columns_stand_below_each_other_and_nothing_sticks_out(visit: Callable[..., Visit]) -> None:
    one = visit("#mode=assisted&mode2=cot", viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    one.ask("Is " + "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch" * 2 + " a village?")
    one.finished(0)
    one.finished(1)
    for button in one.page.locator("[data-copy=curl]").all():
        button.click()
    above, below = one.column(0).bounding_box(), one.column(1).bounding_box()
    assert below["y"] >= above["y"] + above["height"] and below["x"] == above["x"]
    one.page.click("#access summary")
    assert one.page.evaluate("document.documentElement.scrollWidth") == 360
    one.shot("phone")


def test_with_the_keyboard_alone(visit: Callable[..., Visit]) -> None:
    one = visit()
    keyboard = one.page.keyboard

    def tab_to(selector: str, key: str = "Tab") -> None:
        for _ in range(25):
            keyboard.press(key)
            if one.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                outline = one.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{selector} does not show that it has the focus"
                return
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#examples button:nth-child(2)")
    keyboard.press("Enter")
    expect(one.page.locator("#question")).to_be_focused()
    expect(one.page.locator("#question")).to_have_value(re.compile("Mozart"))
    tab_to("[data-choice=resolver]")
    keyboard.press("End")
    expect(one.column().locator("[data-choice=resolver]")).to_have_value("me")
    tab_to("#ask", "Shift+Tab")
    keyboard.press("Enter")
    expect(one.page.get_by_label("What is the Amazon?")).to_be_focused()
    keyboard.type("A river.")
    keyboard.press("Tab")
    keyboard.type("In Brazil.")
    keyboard.press("Enter")
    one.finished()
    assert one.steps() == ["draft", "answers", "final"]
    tab_to("#question", "Shift+Tab")
    keyboard.type(" Or not?")
    keyboard.press("Enter")
    expect(one.page.get_by_label("What is the Amazon?")).to_be_focused()
    tab_to("#compare", "Shift+Tab")
    keyboard.press("Space")
    assert one.page.locator(".column").count() == 2


def test_every_control_has_a_name(visit: Callable[..., Visit]) -> None:
    one = visit("#mode=assisted&resolver=me&mode2=cot")
    one.ask()
    expect(one.page.get_by_label("What is the Amazon?")).to_be_visible()
    one.finished(1)
    nameless = "nodes => nodes.filter(node => !node.labels?.length && !node.textContent.trim()).map(node => node.outerHTML)"
    controls = one.page.locator("input, select, textarea, button")
    assert controls.count() > 15 and controls.evaluate_all(nameless) == []


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_systems_colours(visit: Callable[..., Visit], scheme: str, dark: bool) -> None:
    one = visit("#mode=assisted&mode2=direct", color_scheme=scheme)
    one.ask()
    one.finished(0)
    one.finished(1)
    for selector in ("body", ".column", "#question", ".soft", ".cost", "label", "button#ask", "button.quiet", "select"):
        text, sheet = one.page.locator(selector).first.evaluate(COLOURS)
        assert contrast(text, sheet) >= 4.5, f"{selector}: {text} on {sheet}"
    assert (luminance(one.page.locator("body").evaluate(COLOURS)[1]) < 0.2) is dark
    one.shot(f"compare-{scheme}")


COLOURS = """node => {
  let behind = node;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  return [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor].map(colour => colour.match(/\\d+/g).slice(0, 3).map(Number));
}"""


def luminance(colour: list[int]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[int], other: list[int]) -> float:
    """As WCAG counts it; 4.5 is its floor for text."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_nothing_is_asked_of_another_host(visit: Callable[..., Visit], address: str) -> None:
    one = visit("#mode=assisted&mode2=cot")
    one.ask()
    one.finished(0)
    one.finished(1)
    assert len(one.requests) > 8
    assert {urlsplit(url).netloc for url in one.requests if not url.startswith("data:")} == {urlsplit(address).netloc}


def test_what_a_model_writes_is_never_markup(visit: Callable[..., Visit], engine: PacedEngine, neighbours: Neighbours) -> None:
    engine.free_text = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script> The answer is yes"
    neighbours.text = "Q1. What?\n<b id=taken>bold</b>\nFinal answer: Q?\nThe answer is yes."
    one = visit("#mode=assisted&mode2=cot")
    one.ask("<i id=taken>Is it?</i>")
    one.finished(0)
    one.finished(1)
    expect(one.column(1)).to_contain_text("<img src=x")
    expect(one.column(0)).to_contain_text("<b id=taken>")
    assert one.page.locator("#taken, .column img").count() == 0 and one.page.title() == "askback playground"


def test_the_policy_holds_even_against_injected_markup(visit: Callable[..., Visit]) -> None:
    one = visit()
    one.page.evaluate("""() => {
      const box = document.createElement("div");
      box.innerHTML = "<img src=x onerror=\\"document.title='taken'\\"><img src=https://elsewhere.invalid/x>";
      const script = document.createElement("script");
      script.textContent = "document.title = 'taken'";
      document.body.append(box, script);
    }""")
    assert one.page.evaluate("fetch('https://elsewhere.invalid/').then(() => 'sent', () => 'blocked')") == "blocked"
    assert one.page.title() == "askback playground"
    assert any("Content Security Policy" in text for text in one.complaints)


def test_an_engine_that_sleeps_is_told_with_a_countdown(visit: Callable[..., Visit], engine: PacedEngine) -> None:
    engine.asleep = 3
    one = visit()
    expect(one.page.locator("#ready")).to_have_text("the engine does not answer /health")
    one.ask()
    error = one.column().get_by_role("alert")
    expect(error).to_have_text("503 UpstreamUnavailable: the engine is asleep while a job trains")
    again = one.column().get_by_role("button", name="Ask again")
    expect(again).to_be_disabled()
    expect(one.column().get_by_role("timer")).to_have_text(re.compile("^ in [1-3] s$"))
    one.shot("asleep")
    engine.asleep = None
    expect(again).to_be_enabled()
    again.click()
    one.finished()
    expect(one.page.locator("#ready")).to_have_text("ready")
    expect(error).to_have_count(0)


def test_what_fails_between_steps_leaves_the_steps_that_came(visit: Callable[..., Visit], neighbours: Neighbours) -> None:
    neighbours.teacher_error = (402, "BudgetExceeded")
    one = visit()
    one.ask()
    expect(one.column().get_by_role("alert")).to_have_text(re.compile("^BudgetExceeded: BudgetExceeded here"))
    assert one.steps() == ["draft"]


def test_one_column_asks_again_while_the_other_goes_on(visit: Callable[..., Visit], neighbours: Neighbours, engine: PacedEngine) -> None:
    held = neighbours.hold()
    one = visit("#mode=assisted&adapter2=nope&mode2=direct")
    one.ask()
    expect(one.column(1).get_by_role("alert")).to_have_text("404 NotFound: no adapter 'nope'; loaded: base, direct, dialogue")
    one.column(1).locator("[data-choice=adapter]").select_option("base")
    one.column(1).get_by_role("button", name="Ask again").click()
    one.finished(1)
    assert one.steps(0) == ["draft"] and one.page.is_visible("#stop")
    held.set()
    one.finished(0)


def test_stopping_ends_the_exchange(visit: Callable[..., Visit], neighbours: Neighbours) -> None:
    neighbours.hold()
    one = visit()
    one.ask()
    expect(one.column().locator("[data-step=draft]")).to_be_visible()
    one.page.click("#stop")
    expect(one.column()).to_contain_text("Stopped.")
    expect(one.page.locator("#stop")).to_be_hidden()
    neighbours.until_cancelled()


def test_the_address_holds_the_whole_state(visit: Callable[..., Visit]) -> None:
    one = visit("#q=Is+it%3F&adapter=base&mode=cot&adapter2=direct&mode2=assisted&resolver2=both")
    chosen = [[one.column(i).locator(f"[data-choice={name}]").input_value() for name in ("adapter", "mode", "resolver")] for i in (0, 1)]
    assert chosen == [["base", "cot", "teacher"], ["direct", "assisted", "both"]]
    assert one.page.input_value("#question") == "Is it?"
    one.ask("Is it so?")
    one.finished(1)
    fragment = urlsplit(one.page.url).fragment
    assert fragment == "q=Is+it+so%3F&adapter=base&mode=cot&adapter2=direct&mode2=assisted&resolver2=both"
    other = visit("#" + fragment)
    assert other.page.input_value("#question") == "Is it so?" and not other.steps()
    odd = visit("#mode=magic&resolver=constructor&q=Is+it%3F")
    assert [odd.column().locator(f"[data-choice={name}]").input_value() for name in ("mode", "resolver")] == ["assisted", "teacher"]


class TestCopies:
    """What the copy buttons give can be run as it is."""

    ODD = """Isn't it "so"? $HOME `x` \\ ünï 😀"""

    def copied(self, one: Visit, name: str) -> str:
        one.page.locator(f"[data-copy={name}]").first.click()
        expect(one.column()).to_contain_text(f"Copied as {name}")
        return str(one.page.evaluate("navigator.clipboard.readText()"))

    def test_curl_and_python(self, visit: Callable[..., Visit], address: str) -> None:
        one = visit("#mode=assisted&resolver=both&adapter=base", permissions=["clipboard-read", "clipboard-write"])
        one.ask(self.ODD)
        one.finished()
        words = shlex.split(self.copied(one, "curl"))
        assert words[:3] == ["curl", "-sSN", f"{address}/v1/ask"]
        body = {"question": self.ODD, "adapter": "base", "resolver": "both", "stream": True}
        assert json.loads(words[words.index("-d") + 1]) == body
        sent: list[tuple[str, Any]] = []
        run(self.copied(one, "Python"), sent)
        assert sent == [(f"{address}/v1/ask", {key: value for key, value in body.items() if key != "stream"})]

    def test_of_answering_oneself_both_calls(self, visit: Callable[..., Visit], address: str) -> None:
        one = visit("#mode=assisted&resolver=me", permissions=["clipboard-read", "clipboard-write"])
        one.ask(self.ODD)
        one.page.get_by_label("What is the Amazon?").fill(self.ODD)
        one.page.get_by_label("What is the Amazon?").press("Enter")
        one.finished()
        lines = self.copied(one, "curl").splitlines()
        assert [shlex.split(line)[2] for line in lines] == [f"{address}/v1/clarify", f"{address}/v1/answer"]
        sent: list[tuple[str, Any]] = []
        run(self.copied(one, "Python"), sent)
        assert sent[1][1]["exchanges"][0] == {"question": "What is the Amazon?", "answer": self.ODD}


def test_without_a_clipboard_the_text_is_shown_and_selected(visit: Callable[..., Visit]) -> None:
    one = visit("#mode=direct")
    one.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as over plain HTTP from another machine
    one.ask()
    one.finished()
    one.page.click("[data-copy=curl]")
    expect(one.column()).to_contain_text("Press Ctrl+C to copy")
    assert one.page.evaluate("getSelection().toString()") == one.column().locator("pre").text_content() != ""


def run(program: str, sent: list[tuple[str, Any]]) -> None:
    """Run the program with an httpx that keeps what it is given."""

    class Reply:
        def raise_for_status(self) -> None: ...

        def json(self) -> str:
            return "{}"

    class Httpx:
        @staticmethod
        def post(url: str, json: Any, timeout: float) -> Reply:
            sent.append((url, json))
            return Reply()

    exec(compile(program.replace("import httpx", ""), "copied", "exec"), {"httpx": Httpx})


class TestGuarded:
    @pytest.fixture
    def environment(self) -> dict[str, str]:
        return {"ASKBACK_API_KEY": "secret-1"}

    def test_the_page_opens_without_the_key_and_asks_for_it(self, visit: Callable[..., Visit]) -> None:
        one = visit("#mode=assisted", permissions=["clipboard-read", "clipboard-write"])
        expect(one.page.locator("#trouble")).to_have_text("This service asks for a key; enter it at the top.")
        one.ask()
        expect(one.column().get_by_role("alert")).to_contain_text("401 Unauthorized")
        expect(one.page.locator("#key")).to_be_focused()
        one.page.keyboard.type("secret-1")
        one.page.keyboard.press("Tab")
        expect(one.page.locator("#trouble")).to_be_hidden()
        expect(one.column().locator("[data-choice=adapter] option").first).to_have_text("dialogue (default)")
        one.ask()
        one.finished()
        one.page.locator("[data-copy=curl]").click()
        expect(one.column()).to_contain_text("Copied as curl")
        line = str(one.page.evaluate("navigator.clipboard.readText()"))
        assert "$ASKBACK_API_KEY" in line and "secret-1" not in line + one.page.url
        kept = one.page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]")
        assert kept == [1, 0, ""]
        compile(self.python(one), "copied", "exec")

    def python(self, one: Visit) -> str:
        one.page.locator("[data-copy=Python]").click()
        expect(one.column()).to_contain_text("Copied as Python")
        program = str(one.page.evaluate("navigator.clipboard.readText()"))
        assert "os.environ" in program and "secret-1" not in program
        return program
