"""What the report is made of: examples, agreement, figures, and the two renderings."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_runs import ATTACK, attacking, free, write_whole

from askback.contracts.records import Draft, Exchange, HarvestRecord, HarvestStage, Prediction, Sample, TeacherReply
from askback.tasks import task_named
from services.evaluator.reporting import jinja2_report, markdown_report
from services.evaluator.reporting.agreement import agreement
from services.evaluator.reporting.chart_data import charts
from services.evaluator.reporting.charts import AnyChart, Bar, BarChart, Line, LineChart, MatrixChart, Point, PointChart
from services.evaluator.reporting.examples import KINDS, SHOWN, examples
from services.evaluator.reporting.facts import RunFacts, gather
from services.evaluator.reporting.report_document import report
from services.evaluator.reporting.svg import figure
from services.evaluator.reporting.svg.scale import scale
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import RunFolder

SAID = {"name": "f", "title": "A < B", "alt": "x & y", "source": "s"}
CHARTS: list[AnyChart] = [
    BarChart(**SAID, unit="%", bars=[Bar("a", 40, 30, 50, "direct"), Bar("<b>", 60, 60, 60, "odd")], baseline=50, baseline_label="majority"),
    BarChart(**SAID, unit="points", bars=[Bar("a", -4, -9, 2, "cot", False)], baseline=0, baseline_label="none", band=(10, 15), band_label="target"),
    BarChart(**SAID, unit="rows", bars=[Bar("none", 0, 0, 0, "answered")]),
    PointChart(**SAID, x_label="tokens", y_label="%", points=[Point("a", 0, 0, 0, 0, "direct"), Point("b", 0, 0, 0, 0, "cot")]),
    PointChart(**SAID, x_label="p", y_label="gold", points=[Point("n = 1", 0.2, 0.3, 0, 1, f"c{i}") for i in range(8)], diagonal=True),
    LineChart(**SAID, x_label="step", y_label="loss", lines=[Line(f"l{i}", [1.0], [2.0]) for i in range(9)]),
    MatrixChart(**SAID, labels=["gold", "x" * 80], values=[[1, 0.5], [0.5, 0.9]]),
]


def sample(name: str, answer: str = "yes") -> Sample:
    return Sample(id=name, task="strategyqa", question=f"Is it {name}?", answer=answer)


def asked(name: str, draft: str, final: str | None, error: str | None = None) -> Prediction:
    exchanges = [Exchange(question="Why?", answer="So.")]
    return Prediction(sample_id=name, answer=final, text="words", draft=Draft(answer=draft, questions=["Why?"]), exchanges=exchanges, error=error)


def test_rows_are_told_apart_by_what_the_exchange_did() -> None:
    samples = [sample(name) for name in ("mended", "spoilt", "same", "mute", "gone")]
    answers = [asked("mended", "no", "yes"), asked("spoilt", "yes", "no"), asked("same", "yes", "yes"), asked("mute", "yes", None)]
    answers.append(asked("gone", "yes", None, "Timeout: late"))
    reply = TeacherReply(exchanges=[], thought="I think not.", answer="no", text="no")
    taught = [HarvestRecord(sample_id=name, stage=HarvestStage.TEACHER, reply=reply) for name in ("known", "unknown")]
    found = examples(task_named("strategyqa"), samples, {"c": answers}, taught, {"known": sample("known")}, 0)
    assert {row.kind: row.sample_id for row in found.rows} == {
        "fixed": "mended",
        "broken": "spoilt",
        "teacher wrong": "known",
        "unparsable": "mute",
        "failed": "gone",
    }
    assert found.counts == {kind: {"harvest" if kind == "teacher wrong" else "c": 1} for kind in KINDS}
    assert found.of("failed")[0].text == "Timeout: late" and found.of("teacher wrong")[0].text == "I think not."


def test_the_choice_of_rows_hangs_on_the_seed_alone_and_spreads_over_conditions() -> None:
    samples = [sample(f"s{i}") for i in range(30)]
    answers = {name: [asked(one.id, "no", "yes") for one in samples] for name in ("a", "b", "c")}

    def chosen(order: list[str], seed: int) -> list[tuple[str, str]]:
        rows = examples(task_named("strategyqa"), samples, {name: answers[name] for name in order}, [], {}, seed).rows
        return [(row.where, row.sample_id) for row in rows]

    assert chosen(["a", "b", "c"], 1) == chosen(["c", "a", "b"], 1)
    assert chosen(["a", "b", "c"], 1) != chosen(["a", "b", "c"], 2)
    assert {where for where, _ in chosen(["a", "b", "c"], 1)} == {"a", "b", "c"}
    assert len({name for _, name in chosen(["a"], 1)}) == SHOWN


def test_agreement_counts_equal_answers_and_none_where_there_is_no_answer() -> None:
    samples = [sample("a"), sample("b", "no"), sample("c"), sample("d")]
    one = [Prediction(sample_id=s.id, answer=answer) for s, answer in zip(samples, ("yes", "no", None, "Yes"), strict=True)]
    two = [Prediction(sample_id=s.id, answer=answer) for s, answer in zip(samples, ("yes", "yes", None, "no"), strict=True)]
    assert agreement(samples, [one, two]) == [[1.0, 0.75, 0.25], [0.75, 0.75, 0.25], [0.25, 0.25, 0.75]]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: type(chart).__name__)
def test_a_figure_is_a_named_image_with_real_text(chart: AnyChart) -> None:
    for text in (figure.inline(chart), figure.file(chart).decode()):
        root = ElementTree.fromstring(text)
        space = "{http://www.w3.org/2000/svg}"
        assert (root.get("role"), root.find(f"{space}title").text, root.find(f"{space}desc").text) == ("img", "A < B", "x & y")
        assert root.findall(f".//{space}text") and not re.search(r"nan|inf\b", text)
        assert not root.findall(f".//{space}image") and "href" not in text
    assert figure.file(chart) == figure.file(chart)
    assert b"prefers-color-scheme: dark" in figure.file(chart)


@pytest.mark.parametrize(("low", "high"), [(0, 100), (-34.4, 28.1), (0, 0), (0.00012, 0.00013), (-5, -5), (0, 1e9)])
def test_a_scale_holds_its_values_between_round_ticks(low: float, high: float) -> None:
    axis = scale(low, high, 10, 110)
    assert axis.low <= low + 1e-9 * abs(low) and axis.high >= high - 1e-9 * abs(high) and axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 10
    assert len({axis.label(tick) for tick in axis.ticks}) == len(axis.ticks)
    assert axis.at(axis.low) == 10 and axis.at(axis.high) == pytest.approx(110)


def facts_of(run: Path, task: str) -> RunFacts:
    score_run(RunFolder(run), task_named(task), 0)
    return gather(RunFolder(run))


@pytest.mark.parametrize(("task", "make"), [("strategyqa", attacking), ("hotpotqa", free)])
def test_both_renderings_tell_the_same(tmp_path: Path, task: str, make: Callable[[], list[Sample]]) -> None:
    document = report(facts_of(write_whole(tmp_path / "r", make()), task), ["report.html"])
    page, text = jinja2_report.html(document).decode(), markdown_report.markdown(document)
    for section in document.sections:
        assert f'<section id="{section.id}"' in page
        assert f"## {markdown_report.literal(section.title)}\n" in text
    for chart in document.charts:
        assert f'id="{chart.name}-title"' in page and f"](figures/{chart.name}.svg)" in text
    assert {chart.name for chart in document.charts} == {chart.name for chart in charts(facts_of(tmp_path / "r", task))}
    assert len(re.findall(r"^(?:\*\*.*\*\* )?Source: ", text, re.MULTILINE)) == page.count('class="source"')


def test_words_of_models_are_inert_in_markdown(tmp_path: Path) -> None:
    text = markdown_report.markdown(report(facts_of(write_whole(tmp_path / "r", attacking()), "strategyqa"), []))
    assert "owned" in text
    assert not re.search(r"(?<!\\)<(script|img|/dd)", text)
    assert "evil.example" in text and not re.search(r"(?<!\\)\]\((http|javascript)", text)
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("1. no list", "1\\. no list"),
        ("# no title", "\\# no title"),
        ("a\n\n- b", "a - b"),
        ("- b", "\\- b"),
        ("[x](y)", "[x\\](y)"),
        ("P(yes) [1, 2]", "P(yes) [1, 2]"),
        ("&lt;b>", "\\&lt;b\\>"),
        ("\\<b>", "\\\\\\<b\\>"),
    ],
)
def test_untrusted_words_stay_words_in_markdown(words: str, shown: str) -> None:
    assert markdown_report.literal(words) == shown


def test_own_words_are_marked_up_and_all_else_is_escaped() -> None:
    assert str(jinja2_report.marked("`a<b` **c** <i>")) == "<code>a&lt;b</code> <strong>c</strong> &lt;i&gt;"
    assert markdown_report.marked("`a<b` **c** <i> x_y") == "`a<b` **c** \\<i\\> x\\_y"
    assert "<script>" not in str(jinja2_report.marked(ATTACK))
