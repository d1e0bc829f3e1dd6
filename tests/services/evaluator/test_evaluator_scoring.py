from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import Scores
from askback.contracts.records import Condition, Prediction, Sample
from askback.tasks import task_named
from services.evaluator.scoring.alignment import aligned
from services.evaluator.scoring.scores import comparisons, score_run
from services.evaluator.storage.run_folder import open_run

STRATEGYQA = task_named("strategyqa")


def scored(run: Path, seed: int = 0) -> Scores:
    return score_run(open_run(run.parent, run.name), STRATEGYQA, seed)


def test_scores_cover_every_condition_and_pair_base_first(small_run: Path) -> None:
    scores = scored(small_run)
    names = [score.condition.name for score in scores.conditions]
    assert names == ["base.direct", "base.assisted.teacher", "dialogue-s0.assisted.gold", "dialogue-s0.assisted.teacher", "direct-s0.direct"]
    assert [(c.a, c.b) for c in scores.comparisons][:2] == [("base.direct", "base.assisted.teacher"), ("base.direct", "dialogue-s0.assisted.gold")]
    assert len(scores.comparisons) == 10
    assert (scores.n, scores.majority) == (36, 0.5)
    assert Scores.model_validate_json((small_run / "scores.json").read_text()) == scores
    assert [file.name for file in small_run.iterdir() if file.name.startswith(".")] == []


def test_lost_predictions_count_as_wrong(small_run: Path) -> None:
    base = scored(small_run).conditions[0]
    assert (base.unparsable, base.failed) == (1, 1)
    right = sum(
        prediction.answer == ("yes" if int(prediction.sample_id[1:]) % 2 else "no")
        for prediction in open_run(small_run.parent, small_run.name).predictions(base.condition)
    )
    assert base.metrics[0].name == "accuracy"
    assert base.metrics[0].value == pytest.approx(right / 36)
    assert {metric.name: metric.n for metric in base.metrics} == {"accuracy": 36, "balanced_accuracy": 36, "brier": 34}


def test_a_comparison_by_hand() -> None:
    (found,) = comparisons({"x": [1.0] * 2 + [0.0] * 8, "y": [1.0] * 8 + [0.0] * 2}, "accuracy", 0)
    assert (found.a, found.b, found.n) == ("x", "y", 10)
    assert found.difference == pytest.approx(0.6)
    assert found.p_value == found.p_adjusted == pytest.approx(2 / 2**6)
    assert 0.2 <= found.low < 0.6 < found.high <= 0.9
    assert found.verdict == "y is better (p = 0.031)"


def test_scores_repeat_with_their_seed(small_run: Path) -> None:
    assert scored(small_run, 4) == scored(small_run, 4)


def test_hotpot_run_has_the_twelve_official_metrics(runs_dir: Path, write_rows) -> None:
    run = runs_dir / "hop"
    samples = [Sample(id=i, task="hotpotqa", question="?", answer="Eiffel Tower", supporting_facts=[("Paris", 0)]) for i in "ab"]
    write_rows(run / "samples" / "dev.jsonl", samples)
    said = [Prediction(sample_id="a", answer="the Eiffel tower", supporting_facts=[("Paris", 0)]), Prediction(sample_id="b", answer="tower")]
    write_rows(run / "predictions" / "base.direct.jsonl", said)
    (run / "predictions" / "base.direct.condition.json").write_text(Condition(adapter="base", mode="direct").model_dump_json())
    scores = score_run(open_run(runs_dir, "hop"), task_named("hotpotqa"), 0)
    found = {metric.name: metric.value for metric in scores.conditions[0].metrics}
    expected = {
        "answer_em": 0.5,
        "answer_f1": (1 + 2 / 3) / 2,
        "answer_precision": 1.0,
        "answer_recall": 0.75,
    } | {f"{part}_{name}": 0.5 for part in ("supporting_fact", "joint") for name in ("em", "f1", "precision", "recall")}
    assert found == pytest.approx(expected)
    assert next(iter(found)) == "answer_em"
    assert scores.conditions[0].yes_rate is None
    assert scores.comparisons == []


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        (["a"], "p.jsonl: sample_id 'b' has no prediction"),
        (["a", "b", "c"], "p.jsonl: sample_id 'c' is not in samples"),
        (["a", "a", "b"], "p.jsonl: sample_id 'a' stands twice"),
    ],
)
def test_ids_that_do_not_match_are_named(ids: list[str], complaint: str) -> None:
    samples = [Sample(id=i, task="strategyqa", question="?", answer="yes") for i in "ab"]
    with pytest.raises(InvalidInput, match=complaint):
        aligned(samples, [Prediction(sample_id=i, answer="yes") for i in ids], "p.jsonl")


def test_another_task_is_refused(small_run: Path) -> None:
    with pytest.raises(InvalidInput, match=r"id 'q0' is of task 'strategyqa'"):
        score_run(open_run(small_run.parent, small_run.name), task_named("hotpotqa"), 0)
    assert not (small_run / "scores.json").exists()
