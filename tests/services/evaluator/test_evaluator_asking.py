"""What the student's questions are worth, on rows worked by hand."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askback.contracts.records import Draft, Exchange, Prediction, Sample
from askback.tasks import task_named
from askback.tasks.datafile import load_local
from askback.tasks.question_words import asks_the_same, likeness, telling
from services.evaluator.metrics.asking import answered, asking, coverage, novel, similarity
from services.student.resolvers import UNANSWERED

DATA = Path(os.environ.get("ASKBACK_DATA") or Path(__file__).parents[4] / "shared" / "data") / "strategyqa"
STRATEGYQA, HOTPOTQA = task_named("strategyqa"), task_named("hotpotqa")
GOLD = ["Who is the lead singer of #1?", "What is an inch?", "Is #1 in #2?"]
BAND = "Who is the lead singer of Nine Inch Nails?"


def row(i: int, gold: str, draft: str, final: str | None, *questions: str, replies: int = 0) -> tuple[Sample, Prediction]:
    sample = Sample(id=f"q{i}", task="strategyqa", question="Is Nine Inch Nails known to David Lynch?", answer=gold, decomposition=GOLD)
    exchanges = [Exchange(question=question, answer="So it is.") for question in questions[:replies]]
    return sample, Prediction(sample_id=sample.id, answer=final, draft=Draft(answer=draft, questions=list(questions)), exchanges=exchanges)


def test_telling_words_leave_out_what_leads_nowhere() -> None:
    assert telling("Who IS the lead singer of #1, the Singer?") == Counter({"singer": 2, "lead": 1})
    assert telling("Is #1 in #2?") == telling("???") == telling("") == Counter()


def test_likeness_by_hand() -> None:
    assert likeness(telling(BAND), telling(GOLD[0])) == pytest.approx(4 / 7)  # 2 of 5 and 2 of 2 words
    assert likeness(telling("tower tower"), telling("Eiffel tower")) == 0.5  # a word counts as often as both have it
    assert likeness(telling(BAND), Counter()) == likeness(Counter(), Counter()) == 0.0


@given(st.text("abc ?", max_size=20), st.text("abc ?", max_size=20))
def test_likeness_is_symmetric_and_one_for_the_same_words(left: str, right: str) -> None:
    one, other = telling(left), telling(right)
    assert 0 <= likeness(one, other) == likeness(other, one) <= 1
    assert (likeness(one, other) == 1) is (one == other and bool(one))


def test_the_same_from_four_words_in_five() -> None:
    four = telling("red green blue white")
    assert asks_the_same(four, telling("red green blue white black"))
    assert not asks_the_same(four, telling("red green blue"))
    assert not asks_the_same(Counter(), Counter())


@pytest.mark.parametrize(
    ("questions", "expected"),
    [
        ([BAND, "What did David Lynch direct?"], [True, True]),
        (["Is Nine Inch Nails known to David Lynch?"], [False]),
        (["Was David Lynch known to the Nine Inch Nails?"], [False]),  # other order and light words
        ([BAND, "What is the lead singer of Nine Inch Nails?", BAND], [True, False, False]),
        (["What is it?", "???"], [False, False]),
        ([], []),
    ],
)
def test_novel(questions: list[str], expected: list[bool]) -> None:
    assert novel("Is Nine Inch Nails known to David Lynch?", questions) == expected


def test_answered_needs_an_answer_of_its_own() -> None:
    said = [
        Exchange(question=q, answer=a)
        for q, a in (("a", "Paris."), ("b", UNANSWERED), ("c", " "), ("d", "I don't know"), ("e", "I do not know him."))
    ]
    assert answered(["a", "b", "c", "d", "e", "f"], said) == [True, False, False, False, True, False]
    assert answered(["a", "a"], said[:1]) == [True, False]


def test_similarity_and_coverage_by_hand() -> None:
    assert similarity([BAND, "Why?"], GOLD) == pytest.approx([4 / 7, 0])
    assert coverage([BAND, "Why?"], GOLD) == pytest.approx([4 / 7, 2 / 6])  # the step that joins answers has no words
    assert coverage([], GOLD) == [0.0, 0.0]
    assert similarity([BAND], []) == similarity([BAND], ["Is #1 in #2?"]) == coverage([BAND], []) == []


def test_asking_over_a_condition() -> None:
    rows = [
        row(0, "yes", "no", "yes", BAND, "What did David Lynch direct?", replies=2),
        row(1, "yes", "yes", "no", "So the answer is yes, isn't it?", replies=0),
        row(2, "no", "no", "no", BAND, BAND, replies=1),
        row(3, "no", "It depends.", None, BAND, replies=1),
        row(4, "yes", "no", "yes", BAND),
        row(5, "yes", "no", "yes", BAND),
    ]
    samples, said = [list(column) for column in zip(*rows, strict=True)]
    said[4] = said[4].model_copy(update={"error": "UpstreamUnavailable: gone"})
    said[5] = said[5].model_copy(update={"draft": None})
    found = asking(STRATEGYQA, samples, said, 0)
    assert found is not None
    assert (found.rows, found.questions_per_row.value, found.questions_per_row.n) == (4, 1.5, 4)
    shares = [found.answered, found.novel, found.leaking, found.similarity, found.coverage]
    assert [metric and (metric.name, metric.n) for metric in shares] == [
        ("answered", 6),
        ("novel", 6),
        ("leaking", 6),
        ("similarity", 6),
        ("coverage", 8),
    ]
    likes = [4 / 7, 0, 0, 4 / 7, 4 / 7, 4 / 7]
    expected = [4 / 6, 5 / 6, 1 / 6, sum(likes) / 6, 3 * (4 / 7 + 2 / 6) / 8]
    assert [metric and metric.value for metric in shares] == pytest.approx(expected)
    assert found.changed == {"fixed": 1, "broken": 1, "kept right": 1, "kept wrong": 1}
    assert (found.against, found.gain, found.usd_per_point) == ("", None, None)


def test_open_answers_leak_by_name_and_have_no_gold_steps() -> None:
    sample = Sample(id="h", task="hotpotqa", question="Which river passes Basel?", answer="The Rhine")
    said = Prediction(sample_id="h", answer="Rhine", draft=Draft(answer="Aare", questions=["How long is the Rhine?", "Where is Basel?"]))
    found = asking(HOTPOTQA, [sample], [said], 0)
    assert found is not None and found.leaking is not None and found.answered is not None
    assert (found.leaking.value, found.answered.value) == (0.5, 0.0)
    assert found.similarity is found.coverage is None
    assert found.changed == {"fixed": 1, "broken": 0, "kept right": 0, "kept wrong": 0}


def test_nothing_asked() -> None:
    sample, said = row(0, "yes", "no", "yes")
    found = asking(STRATEGYQA, [sample], [said], 0)
    assert found is not None and found.answered is found.novel is found.leaking is found.similarity is None
    assert found.coverage is not None and found.coverage.value == 0.0
    assert asking(STRATEGYQA, [sample], [said.model_copy(update={"draft": None})], 0) is None


@pytest.mark.skipif(not DATA.exists(), reason="StrategyQA is not here")
def test_gold_steps_are_novel() -> None:
    samples = [sample for split in ("train", "dev") for sample in load_local(STRATEGYQA, DATA, split) if len(sample.decomposition) > 1]
    steps = [(sample.question, step) for sample in samples for step in sample.decomposition if telling(step)]
    restating = sum(asks_the_same(telling(question), telling(step)) for question, step in steps)
    assert restating / len(steps) < 0.002
