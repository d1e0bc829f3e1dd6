"""Parts of the questions: what tells them apart, and their metrics."""

import os
from collections import Counter
from pathlib import Path

import pytest

from askback.contracts.records import Prediction, Sample
from askback.tasks import task_named
from askback.tasks.datafile import load_local
from services.evaluator.metrics.slices import answer_type, kinds, slices

DATA = Path(os.environ.get("ASKBACK_DATA") or Path(__file__).parents[4] / "shared" / "data") / "strategyqa"
STRATEGYQA, HOTPOTQA = task_named("strategyqa"), task_named("hotpotqa")


@pytest.mark.parametrize(
    ("steps", "shape"),
    [
        (["Who sang it?", "Who is #1's mother?", "Is #2 alive?"], "chain"),
        (["How long is it?", "How long is that?", "Is #1 over #2?"], "join"),
        (["How long is it?", "Is #1 over #1?"], "chain"),
        (["Is it long?", "Is it wide?"], "flat"),
    ],
)
def test_the_shape_of_a_decomposition(steps: list[str], shape: str) -> None:
    sample = Sample(id="q", task="strategyqa", question="?", answer="yes", decomposition=steps)
    assert kinds(STRATEGYQA, sample) == {"question type": shape, "hops": str(len(steps)), "answer type": "yes"}


def test_a_question_without_annotations_has_its_answer_alone() -> None:
    assert kinds(STRATEGYQA, Sample(id="q", task="strategyqa", question="?", answer="no")) == {"answer type": "no"}


def test_hops_of_hotpotqa_are_titles() -> None:
    facts = [("Paris", 0), ("Paris", 3), ("Seine", 1)]
    sample = Sample(id="h", task="hotpotqa", question="?", answer="Eiffel", supporting_facts=facts, kind="bridge")
    assert kinds(HOTPOTQA, sample) == {"question type": "bridge", "hops": "2", "answer type": "span"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", "yes"),
        ("no", "no"),
        ("1998", "date"),
        ("2016", "date"),
        ("2116", "number"),
        ("July 5, 1987", "date"),
        ("5 July", "date"),
        ("from May 3", "date"),
        ("May Ziadeh", "span"),
        ("9,984", "number"),
        ("3,677 seated", "number"),
        ("21st century", "number"),
        ("World War 2", "span"),
        ("Nolan Ryan", "span"),
        ("the", "span"),
    ],
)
def test_answer_types(answer: str, expected: str) -> None:
    assert answer_type(answer) == expected


def test_slices_by_hand() -> None:
    golds = ["yes", "yes", "no", "no"]
    samples = [
        Sample(id=f"q{i}", task="strategyqa", question="?", answer=gold, decomposition=["a"] * (2 + 8 * (i > 1))) for i, gold in enumerate(golds)
    ]
    said = [Prediction(sample_id=f"q{i}", answer=answer) for i, answer in enumerate(["yes", "yes", "no", None])]
    found = slices(STRATEGYQA, samples, said, 0)
    assert [(one.by, one.value) for one in found] == [
        ("question type", "flat"),
        ("hops", "2"),
        ("hops", "10"),
        ("answer type", "no"),
        ("answer type", "yes"),
    ]
    assert {one.metrics[0].name for one in found} == {"accuracy"}
    assert [(one.metrics[0].value, one.metrics[0].n) for one in found] == [(0.75, 4), (1.0, 2), (0.5, 2), (0.5, 2), (1.0, 2)]
    assert [len(one.metrics) for one in found] == [2, 1, 1, 1, 1]  # one gold answer has no balanced accuracy


def test_slices_of_hotpotqa_are_parts_of_the_whole() -> None:
    kinds_of = ["bridge", "comparison", "bridge"]
    samples = [Sample(id=f"h{i}", task="hotpotqa", question="?", answer="Eiffel Tower", kind=kind) for i, kind in enumerate(kinds_of)]
    said = [Prediction(sample_id=f"h{i}", answer=answer) for i, answer in enumerate(["the eiffel tower", "tower", "Louvre"])]
    bridge, comparison = slices(HOTPOTQA, samples, said, 0)[:2]
    assert (bridge.value, comparison.value) == ("bridge", "comparison")
    assert {metric.name: metric.value for metric in bridge.metrics}["answer_f1"] == pytest.approx(0.5)
    assert {metric.name: metric.value for metric in comparison.metrics}["answer_f1"] == pytest.approx(2 / 3)
    assert bridge.metrics[0].name == "answer_em"


@pytest.mark.skipif(not DATA.exists(), reason="StrategyQA is not here")
def test_every_slicing_of_real_questions_adds_up() -> None:
    samples = load_local(STRATEGYQA, DATA, "dev")
    found = slices(STRATEGYQA, samples, [Prediction(sample_id=sample.id, answer="yes") for sample in samples], 0)
    sizes: Counter[str] = Counter()
    for one in found:
        sizes[one.by] += one.metrics[0].n
    assert sizes == dict.fromkeys(("question type", "hops", "answer type"), len(samples))
    assert {one.value for one in found if one.by == "question type"} == {"join", "chain", "flat"}
