"""The viewer's page in a real browser."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium_browser import Browser, browser, missing
from viewer_runs import drafted, every_fate, failed, hinted, rewritten, sample, taught, torn, write_run

from askback.contracts.records import HarvestStage
from askback.loop.store import RunStore
from askback.viewer.server import TraceServer

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is there")

ROWS = 4000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def served() -> Iterator["Served"]:
    served = Served()
    yield served
    served.stop()


class Served:
    """Servers of one test."""

    def __init__(self) -> None:
        self._running: list[tuple[TraceServer, threading.Thread]] = []

    def at(self, store: RunStore) -> str:
        server = TraceServer(store, 0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self._running.append((server, thread))
        return server.url

    def stop(self) -> None:
        for server, thread in self._running:
            server.shutdown()
            thread.join()
            server.server_close()
        self._running.clear()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    samples = [sample(f"row-{i}", f"Is number {i} {'even' if i % 2 == 0 else 'odd'}?") for i in range(ROWS)]
    return write_run(tmp_path_factory.mktemp("runs"), "many", samples, [])


def opened(page: Browser, url: str, total: str) -> None:
    """Open `url` anew and wait for its totals and its row."""
    page.open("about:blank")
    page.open(url)
    page.until(lambda: page.text("#totals").startswith(total) and page.text("#detail h2") != "", f"{url} shows {total}")


def questions(page: Browser) -> list[str]:
    return page.texts("#rows td:nth-child(2)")


def chosen(page: Browser) -> str:
    return page.text("#rows tr[aria-selected=true] td:nth-child(2)")


def test_a_row_is_shown_with_everything(page: Browser, served: Served, tmp_path: Path) -> None:
    opened(page, served.at(every_fate(tmp_path)) + "#heron", "7 rows")
    page.until(lambda: page.text("#detail h2") == "Does a heron wade?", "the linked row")
    detail = page.text("#detail")
    for part in (
        "In 2 tracks: dialogue, direct.",
        "P(yes) = 0.250",
        "Where is it?",
        "Teacher (openai)",
        "A wading bird.",
        "$0.0020",
        "gpt-4",
        "2.00",
    ):
        assert part in detail
    assert page.texts("#detail del") == ["no"]
    assert page.texts("#detail ins") == ["yes, it wades"]


def test_a_second_try_is_named_and_found(page: Browser, served: Served, tmp_path: Path) -> None:
    samples = [sample(name, f"Is it {name}?", "no") for name in ("used", "vain", "none")]
    records = [record for one in samples for record in (drafted(one.id), taught(one.id))]
    records += [hinted("used", "no"), hinted("vain", "yes"), *(rewritten(one.id) for one in samples)]
    opened(page, served.at(write_run(tmp_path, "hints", samples, records)) + "#used", "3 rows")
    page.until(lambda: "in place of the first reply" in page.text("#detail"), "the hinted row")
    assert "First reply, without the hint" in page.text("#detail")
    page.click("[data-filter=hint][data-value='not used']")
    page.until(lambda: questions(page) == ["Is it vain?"], "the row whose second try was in vain")


def test_text_of_models_does_not_run(page: Browser, served: Served, tmp_path: Path) -> None:
    url = served.at(every_fate(tmp_path))
    for sample_id, places in (("attack", 8), ("broken", 1)):
        opened(
            page, f"{url}?q=harmless#{sample_id}" if sample_id == "attack" else f"{url}#{sample_id}", "1 of 7" if sample_id == "attack" else "7 rows"
        )
        page.until(lambda sample_id=sample_id: page.text("#detail .id") == f"#{sample_id}", "the linked row")
        assert page.text("#detail").count("<script>") >= places
        assert page.run("return document.querySelectorAll('main script, main img, main [onerror]').length") == 0
        assert page.run("return document.title") == "fates – askback traces"


def test_filters_narrow_the_list_with_counts(page: Browser, served: Served, tmp_path: Path) -> None:
    opened(page, served.at(every_fate(tmp_path)), "7 rows")
    assert page.text("[data-filter=status][data-value=dropped] span:last-child") == "2"
    page.click("[data-filter=status][data-value='dropped: class_balance']")
    page.until(lambda: questions(page) == ["Is this class too large?"], "one dropped row")
    assert page.text("[data-filter=teacher][data-value=right] span:last-child") == "1"
    page.click("[data-filter=status][data-value='dropped: class_balance']")
    page.click("[data-filter=teacher][data-value=wrong]")
    page.until(lambda: questions(page) == ["Does the teacher err?"], "the row whose teacher errs")
    page.call("refresh")
    page.until(lambda: questions(page) == ["Does the teacher err?"], "the filter outlives a reload")


def test_search_marks_what_it_finds_and_says_when_there_is_nothing(page: Browser, served: Served, tmp_path: Path) -> None:
    opened(page, served.at(every_fate(tmp_path)), "7 rows")
    page.press("/")
    for key in "wade":
        page.press(key)
    page.until(lambda: questions(page) == ["Does a heron wade?"], "one row is found")
    assert page.texts("#rows td:nth-child(2) mark") == ["wade"]
    page.press("x")
    page.until(lambda: page.text("#totals").startswith("0 of 7"), "no row is found")
    page.click("#clear")
    page.until(lambda: len(questions(page)) == 7, "all rows are back")


def test_keys_walk_through_4000_rows_of_which_few_are_drawn(page: Browser, served: Served, many: RunStore) -> None:
    opened(page, served.at(many), "4,000 rows")
    assert chosen(page) == "Is number 0 even?"
    for key, question in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", ROWS - 1), ("ArrowDown", ROWS - 1), ("Home", 0)):
        page.press(key)
        parity = "even" if question % 2 == 0 else "odd"
        page.until(lambda wanted=f"Is number {question} {parity}?": chosen(page) == wanted == page.text("#detail h2"), f"{key} shows row {question}")
        assert len(questions(page)) < 100
    assert page.run("return location.hash") == "#row-0"


def test_a_link_opens_its_row_far_down_the_list(page: Browser, served: Served, many: RunStore) -> None:
    opened(page, served.at(many) + "#row-2500", "4,000 rows")
    page.until(lambda: chosen(page) == "Is number 2500 even?", "the linked row is in view")
    page.press("ArrowDown")
    page.until(lambda: page.text("#detail h2") == "Is number 2501 odd?", "the keys go on from there")


def test_columns_sort(page: Browser, served: Served, many: RunStore) -> None:
    opened(page, served.at(many), "4,000 rows")
    page.click("[data-sort=index]")
    page.until(lambda: questions(page)[:1] == [f"Is number {ROWS - 1} odd?"], "the last row comes first")
    assert page.run("return document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"


def test_a_run_under_way_is_followed_with_its_torn_line(page: Browser, served: Served, tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    content = torn(store)
    opened(page, served.at(store) + "#later", "7 rows")
    assert store.path("harvest.jsonl").read_bytes() == content
    page.until(lambda: page.text("#detail .tag") == "pending", "the row is waited for")
    store.path("harvest.jsonl").write_bytes(content[: content.rfind(b"\n") + 1])
    with store.appender("harvest.jsonl") as kept:
        kept.append(failed("later", HarvestStage.TEACHER, "UpstreamRejected: no verdict"))
    page.until(lambda: page.text("#detail .tag") == "failed", "the new record")
    assert page.text("[data-filter=status][data-value=failed] span:last-child") == "3"


def test_what_goes_wrong_is_said(page: Browser, served: Served, tmp_path: Path) -> None:
    opened(page, served.at(every_fate(tmp_path)), "7 rows")
    page.run("location.hash = '#nobody'")
    page.until(lambda: page.text("#trouble") == "run fates has no row 'nobody'", "the missing row")
    served.stop()
    page.until(lambda: page.text("#trouble").startswith("The server does not answer"), "the server that is gone")


@pytest.mark.parametrize(("scheme", "background"), [("light", "rgb(247, 247, 245)"), ("dark", "rgb(23, 24, 22)")])
def test_the_page_takes_the_colours_of_the_system(page: Browser, served: Served, tmp_path: Path, scheme: str, background: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": features})
    opened(page, served.at(write_run(tmp_path, "one", [sample("a", "Is it?")], [drafted("a"), taught("a"), rewritten("a")])), "1 row")
    assert page.run("return getComputedStyle(document.body).backgroundColor") == background
