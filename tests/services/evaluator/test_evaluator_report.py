from pathlib import Path

import pytest
from pptx import Presentation

from askback.contracts.measures import Comparison
from askback.contracts.records import HarvestRecord, HarvestStage
from askback.tasks import task_named
from services.evaluator.reporting.findings import error_kind, headline, target_word
from services.evaluator.reporting.publishing import gather, publish
from services.evaluator.reporting.report import markdown
from services.evaluator.reporting.wording import leaves
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import RunFolder


def published(path: Path) -> tuple[str, list[str]]:
    run = RunFolder(path)
    score_run(run, task_named("strategyqa"), 0)
    files = publish(run)
    return (path / "report.md").read_text(), files


def test_the_full_report_tells_every_part(full_run: Path) -> None:
    text, files = published(full_run)
    assert files == ["report.md", "slides.pptx", "plots/accuracy.png", "plots/differences.png", "plots/training_loss.png", "plots/harvest.png"]
    for name in files[2:]:
        assert (full_run / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in text
    score = RunFolder(full_run).scores().conditions[0]
    first = score.metrics[0]
    row = f"| base.direct | direct | none | base | 36 | {100 * first.value:.1f} % [{100 * first.low:.1f}, {100 * first.high:.1f}] |"
    assert row in text
    for part in (
        "- rows: 20, through all stages: 18",
        "- teacher: 18 answered, 2 failed",
        "- error UpstreamRejected at teacher: 2",
        "- teacher's answers by backend: openai 18",
        "- teacher agrees with gold: 94.4 % [74.2, 99.0], n = 18",
        "- cost: 0.0180 USD, 900 tokens",
        "- direct: rows 17, labels (yes 8, no 9)",
        "| direct-s0 | 40 | 2.250 (step 1) | 0.037 (step 40) |",
        "| harvest | 81.2 | rows 20, failed 3 |",
        "run.seed = 11, adapters.1.seed = 0",
        "2 of 180 predictions were unparsable or failed",
        "Target +10 to +15 points over base direct: **",
    ):
        assert part in text
    assert text.startswith("# Run demo-1: strategyqa\n")


def test_absent_parts_are_left_out(small_run: Path) -> None:
    text, files = published(small_run)
    assert files == ["report.md", "slides.pptx", "plots/accuracy.png", "plots/differences.png"]
    for heading in ("## Harvest", "## Tracks", "## Training", "## Stages"):
        assert heading not in text
    assert "## Results" in text and "## Caveats" in text
    assert "The run's folder names no seeds." in text


def test_a_single_condition_makes_a_report(small_run: Path) -> None:
    for file in (small_run / "predictions").iterdir():
        if not file.name.startswith("direct-s0"):
            file.unlink()
    text, files = published(small_run)
    assert files == ["report.md", "slides.pptx", "plots/accuracy.png"]
    assert "no predictions of base direct" in text
    assert "**not shown** (the run has no pair" in text


def test_the_gold_resolver_is_an_upper_bound_and_never_the_best(small_run: Path) -> None:
    published(small_run)
    top = headline(RunFolder(small_run).scores())
    assert top.best is not None and top.best.condition.name == "dialogue-s0.assisted.teacher"
    assert top.upper_bound is not None and top.upper_bound.condition.resolver == "gold"
    assert top.comparison is not None and (top.comparison.a, top.comparison.b) == ("base.direct", "dialogue-s0.assisted.teacher")


@pytest.mark.parametrize(
    ("difference", "low", "high", "p", "word"),
    [
        (0.13, 0.06, 0.20, 0.001, "reached"),
        (0.10, 0.02, 0.18, 0.02, "reached"),
        (0.13, -0.02, 0.28, 0.09, "not shown"),
        (0.04, -0.09, 0.17, 1.0, "not shown"),
        (0.04, 0.01, 0.07, 0.01, "not reached"),
        (-0.05, -0.10, 0.0, 0.2, "not reached"),
    ],
)
def test_target(difference: float, low: float, high: float, p: float, word: str) -> None:
    fields = {"a": "base.direct", "b": "b", "metric": "accuracy", "n": 229, "verdict": ""}
    assert target_word(Comparison(difference=difference, low=low, high=high, p_value=p, p_adjusted=p, **fields)) == word


def test_slides_open_and_hold_the_results_table(full_run: Path) -> None:
    published(full_run)
    slides = list(Presentation(str(full_run / "slides.pptx")).slides)
    titles = [slide.shapes[0].text_frame.text for slide in slides]
    assert titles == ["Run demo-1", "The loop", "Data and harvest", "Results", "Results with 95 % intervals", "Comparisons", "Limits"]
    tables = [shape.table for shape in slides[3].shapes if shape.has_table]
    cells = [[cell.text for cell in row.cells] for row in tables[0].rows]
    assert cells[0][:5] == ["condition", "mode", "resolver", "adapter", "n"]
    assert [row[0] for row in cells[1:]] == [score.condition.name for score in RunFolder(full_run).scores().conditions]
    assert any(shape.shape_type == 13 for shape in slides[4].shapes)  # 13 is a picture


def test_no_slide_reaches_past_its_edge(full_run: Path) -> None:
    published(full_run)
    show = Presentation(str(full_run / "slides.pptx"))
    for slide in show.slides:
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.left + shape.width <= show.slide_width
            assert shape.top >= 0 and shape.top + shape.height <= show.slide_height


def test_markdown_is_a_pure_function_of_its_facts(full_run: Path) -> None:
    text, files = published(full_run)
    assert markdown(gather(RunFolder(full_run)), files) == text


def test_harvest_counts_the_last_record_and_pays_for_all(full_run: Path, write_rows) -> None:
    records = RunFolder(full_run).harvest()
    write_rows(full_run / "harvest.jsonl", [*records, HarvestRecord(sample_id="t5", stage=HarvestStage.REWRITE, error="no engine")])
    score_run(RunFolder(full_run), task_named("strategyqa"), 0)
    found = gather(RunFolder(full_run)).harvest
    assert found is not None
    assert (found.rows, found.complete) == (20, 17)
    assert found.errors == [("teacher", "UpstreamRejected", 2), ("rewrite", "other", 1)]
    assert found.cost_usd == pytest.approx(0.018)


def test_error_kinds() -> None:
    assert [error_kind(text) for text in ("BudgetExceeded: 5 USD", "no verdict: x", "Timeout", "")] == ["BudgetExceeded", "other", "Timeout", "other"]


def test_leaves_of_free_json() -> None:
    assert leaves({"rows": 3, "a": {"b": {"yes": 1, "no": 2}}, "list": [1]}) == [("all", "rows 3"), ("a.b", "yes 1, no 2")]
    card = {
        "filters": [{"filter": "balanced", "after": 4, "classes_after": {"no": 2, "yes": 2}}],
        "tracks": {"cot": {"rows": 4, "classes": {"no": 2, "yes": 2}}},
    }
    assert leaves(card) == [
        ("tracks.cot", "rows 4, classes (no 2, yes 2)"),
        ("filters.1", "filter balanced, after 4, classes_after (no 2, yes 2)"),
    ]
