from pathlib import Path

import pytest
from pptx import Presentation
from report_runs import attacking, write_predictions

from askback.contracts.measures import Comparison
from askback.contracts.records import HarvestRecord, HarvestStage
from askback.tasks import task_named
from services.evaluator.reporting import publishing
from services.evaluator.reporting.facts import gather
from services.evaluator.reporting.findings import against, error_kind, headline, target_word
from services.evaluator.reporting.publishing import contents, publish
from services.evaluator.reporting.report import summary
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
    assert files[:3] == ["report.html", "report.md", "slides.pptx"]
    drawn = ["accuracy", "differences", "cost", "calibration", "agreement", "training_loss", "harvest"]
    assert [name for name in files[3:] if "cost" not in name] == [f"figures/{name}.svg" for name in drawn if name != "cost"]
    for name in files[3:]:
        assert (full_run / name).read_bytes().startswith(b"<svg ")
        assert f"]({name})" in text
    score = RunFolder(full_run).scores().conditions[0]
    first = score.metrics[0]
    row = f"| `base.direct` | direct | none | base | 36 | {100 * first.value:.1f} % [{100 * first.low:.1f}, {100 * first.high:.1f}] |"
    assert row in text
    for part in (
        "- rows: 20, through all stages: 18",
        "- teacher: 18 answered, 2 failed",
        "- error UpstreamRejected at teacher: 2",
        "- teacher's answers by backend: openai 18",
        "- teacher agrees with gold: 94.4 % [74.2, 99.0], n = 18",
        "- cost: 0.0180 USD, 900 tokens",
        "| total | 59 | 540 | 360 | 0.0180 |",
        "| 40 | 2.250 | 0.037 | – |",
        "| harvest | 81.2 | rows 20, failed 3 |",
        "run.seed = 11, adapters.1.seed = 0",
        "2 of 180 predictions were unparsable or failed",
        "Target +10 to +15 points over base direct: **",
        "### Teacher wrong: ",
    ):
        assert part in text, part
    assert text.startswith("# Run demo-1\n")


def test_absent_parts_are_left_out(small_run: Path) -> None:
    text, files = published(small_run)
    assert not {"figures/training_loss.svg", "figures/harvest.svg", "figures/pooled.svg"} & set(files)
    for heading in ("## Training", "## Asking", "## Seeds pooled", "### Teacher wrong", "Stages"):
        assert heading not in text
    assert "## Results" in text and "## Limits" in text
    assert "The run's folder names no seeds." in text


def test_a_single_condition_makes_a_report(small_run: Path) -> None:
    for file in (small_run / "predictions").iterdir():
        if not file.name.startswith("direct-s0"):
            file.unlink()
    text, files = published(small_run)
    assert "figures/accuracy.svg" in files and not {"figures/differences.svg", "figures/agreement.svg"} & set(files)
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


def test_no_slide_reaches_past_its_edge(full_run: Path) -> None:
    published(full_run)
    show = Presentation(str(full_run / "slides.pptx"))
    for slide in show.slides:
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.left + shape.width <= show.slide_width
            assert shape.top >= 0 and shape.top + shape.height <= show.slide_height


def test_a_rerun_writes_the_same_bytes(full_run: Path) -> None:
    _, files = published(full_run)
    first = {name: (full_run / name).read_bytes() for name in files}
    (full_run / "manifests" / "report.json").write_text('{"stage": "report", "seconds": 1.0, "sha256": {"report.md": "abc"}}')
    assert publish(RunFolder(full_run)) == files
    assert {name: (full_run / name).read_bytes() for name in files} == first
    assert contents(gather(RunFolder(full_run))) == first


def test_the_report_is_written_last(full_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(full_run)
    (full_run / "report.html").write_text("of the last time")

    def fails(path: Path, data: bytes) -> None:
        raise OSError(f"no room for {path.name}")

    monkeypatch.setattr(publishing, "write_atomically", fails)
    with pytest.raises(OSError, match="no room"):
        publish(RunFolder(full_run))
    assert (full_run / "report.html").read_text() == "of the last time"


def test_the_best_of_several_seeds_is_their_mean(tmp_path: Path) -> None:
    run = RunFolder(write_predictions(tmp_path / "seeds", attacking()))
    scores = score_run(run, task_named("strategyqa"), 0)
    top = headline(scores)
    assert top.best is not None and top.comparison is not None
    assert (top.best.condition.name, top.seeds) == ("dialogue.assisted.teacher", 2)
    one, two = (next(s.metrics[0].value for s in scores.conditions if s.condition.name == f"dialogue-s{i}.assisted.teacher") for i in (0, 1))
    assert top.best.metrics[0].value == pytest.approx((one + two) / 2)
    assert (top.comparison.a, top.comparison.b) == ("base.direct", "dialogue.assisted.teacher")
    assert "mean of 2 seeds" in summary(scores) and "over questions and seeds" in summary(scores)


def test_a_pair_is_found_whichever_way_it_was_measured() -> None:
    pair = Comparison(a="x", b="y", metric="accuracy", difference=0.2, low=0.1, high=0.4, p_value=0.1, p_adjusted=0.1, n=9, verdict="v", p_target=0.3)
    turned = against([pair], "y", "x")
    assert turned is not None and (turned.difference, turned.low, turned.high, turned.p_target) == (-0.2, -0.4, -0.1, None)
    assert against([pair], "x", "y") == pair and against([pair], "x", "z") is None


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
