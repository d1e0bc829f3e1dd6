"""Mode `tutored` and the nearest answers in what is scored and told: a yardstick beside the student's own asking."""

import random
from pathlib import Path

import pytest
from report_runs import write_rows

from askback.contracts.evaluator import Scores
from askback.contracts.records import Condition, Draft, Exchange, Prediction, Sample
from askback.tasks import task_named
from services.evaluator.leaderboard import leaderboard
from services.evaluator.reporting import markdown_report
from services.evaluator.reporting.chart_data import charts
from services.evaluator.reporting.facts import gather
from services.evaluator.reporting.findings import headline
from services.evaluator.reporting.report_document import report
from services.evaluator.reporting.slides.deck import slides
from services.evaluator.reporting.slides.theme import ACCENTS
from services.evaluator.reporting.svg.canvas import MODES, SHAPES, styles_of
from services.evaluator.scoring.scores import reading_order, score_run
from services.evaluator.storage.run_folder import RunFolder
from services.evaluator.storage.runs import Runs

DIRECT, BASE = Condition(adapter="talk", mode="direct"), Condition(adapter="base", mode="direct")
SILENT, OWN = (Condition(adapter="talk", mode="assisted", resolver=who) for who in ("none", "gold-nearest"))
TEACHERS, TAUGHT = (Condition(adapter="talk", mode="tutored", resolver=who) for who in ("none", "gold-nearest"))
HEARD = Condition(adapter="talk", mode="assisted", resolver="teacher-nearest")
YARDSTICK = Condition(adapter="talk", mode="tutored", resolver="teacher-nearest")
SHARES = {BASE: 0.4, DIRECT: 0.5, SILENT: 0.5, OWN: 0.7, TEACHERS: 0.5, TAUGHT: 0.95, HEARD: 0.6, YARDSTICK: 0.95}


@pytest.fixture
def run(runs_dir: Path) -> RunFolder:
    samples, dice, folder = [odd(i) for i in range(40)], random.Random(5), runs_dir / "t"
    write_rows(folder / "samples" / "dev.jsonl", samples)
    for condition, share in SHARES.items():
        found = [said(sample, dice.random() < share) for sample in samples]
        write_rows(folder / "predictions" / f"{condition.name}.jsonl", [exchanged(one) if condition.asks else one for one in found])
        (folder / "predictions" / f"{condition.name}.condition.json").write_text(condition.model_dump_json())
    return RunFolder(folder)


def odd(i: int) -> Sample:
    return Sample(id=f"q{i}", task="strategyqa", question=f"Is {i} odd?", answer="yes" if i % 2 else "no", decomposition=["What is odd?"])


def said(sample: Sample, right: bool) -> Prediction:
    answer = sample.answer if right else {"yes": "no", "no": "yes"}[sample.answer]
    return Prediction(sample_id=sample.id, answer=answer, text=answer)


def exchanged(answered: Prediction) -> Prediction:
    """The student asks about rivers and the moon; what is put and answered is one question about oddness."""
    draft = Draft(answer="yes", questions=["How long is a river?", "How far is the moon?"])
    return answered.model_copy(update={"draft": draft, "exchanges": [Exchange(question="What is odd?", answer="It leaves 1.")]})


@pytest.fixture
def scores(run: RunFolder) -> Scores:
    return score_run(run, task_named("strategyqa"), 0)


def test_gains_are_against_the_same_mode_without_answers_and_corrected_apart(scores: Scores) -> None:
    asking = {score.condition.name: score.asking for score in scores.conditions if score.asking}
    against = {name: one.against for name, one in asking.items()}
    assert against == {
        "talk.assisted.none": "talk.direct",
        "talk.assisted.gold-nearest": "talk.assisted.none",
        "talk.assisted.teacher-nearest": "talk.assisted.none",
        "talk.tutored.none": "talk.direct",
        "talk.tutored.gold-nearest": "talk.tutored.none",
        "talk.tutored.teacher-nearest": "talk.tutored.none",
    }
    gain = asking["talk.assisted.gold-nearest"].gain
    assert gain is not None and gain.low <= gain.difference <= gain.high
    tutored = [one.gain for name, one in asking.items() if "tutored" in name and one.gain]
    strongest = min(tutored, key=lambda one: one.p_value)
    assert strongest.p_adjusted == pytest.approx(3 * strongest.p_value), "corrected with the student's own gains"


def test_the_distance_to_the_teachers_questions_is_a_pair(scores: Scores) -> None:
    assert {OWN.name, TAUGHT.name} in [{one.a, one.b} for one in scores.comparisons]


def test_the_questions_that_were_put_are_measured(scores: Scores) -> None:
    found = {score.condition.name: score for score in scores.conditions}
    own, put = found[OWN.name].asking, found[TAUGHT.name].asking
    assert own and put and own.similarity and put.similarity and put.answered
    assert (own.questions_per_row.value, put.questions_per_row.value) == (2.0, 1.0)
    assert (own.similarity.value, put.similarity.value, put.answered.value) == (0.0, 1.0, 1.0)
    sari = [{metric.name: metric.value for metric in found[name].metrics}["sari"] for name in (OWN.name, TAUGHT.name)]
    assert sari[0] < sari[1]


def test_a_yardstick_is_never_best_and_comes_last(scores: Scores, runs_dir: Path) -> None:
    top = headline(scores)
    assert top.best is not None and top.upper_bound is not None
    assert not top.best.condition.yardstick
    assert top.upper_bound.condition == TAUGHT
    ranked = [row.condition for row in leaderboard(Runs(runs_dir)).rows]
    assert set(ranked[-4:]) == {OWN.name, TEACHERS.name, TAUGHT.name, YARDSTICK.name}


def test_modes_have_their_order_their_shape_and_their_colour(scores: Scores) -> None:
    modes = list(dict.fromkeys(one.condition.mode for one in sorted(scores.conditions, key=lambda one: reading_order(one.condition))))
    assert modes[-1] == "tutored"
    assert len(MODES) <= SHAPES and set(ACCENTS) == set(MODES) and len(set(ACCENTS.values())) == len(MODES)
    assert styles_of(["direct", "tutored", "odd"])["direct"] != styles_of(["direct", "tutored", "odd"])["odd"]


def test_report_and_slides_say_what_it_is(run: RunFolder, scores: Scores) -> None:
    facts = gather(run)
    text = markdown_report.markdown(report(facts, []))
    assert "the teacher's questions in place of the student's" in text
    assert "the dataset's fact nearest to it" in text and "the teacher's answer to the sub-question nearest to it" in text
    assert "In mode `tutored` the questions are the teacher's" in text
    titles = [slide.title for slide in slides(facts, charts(facts))]
    assert any(title.startswith("The student asks 2.0 questions") for title in titles), titles
