"""Which recorded answer a question in other words gets."""

import os
from pathlib import Path

import pytest

from askback.contracts.records import Exchange
from askback.tasks import task_named
from askback.tasks.datafile import load_local, read_rows
from askback.tasks.nearest import nearest, steps_to

TASK = task_named("strategyqa")
DATA = Path(os.environ.get("ASKBACK_DATA") or Path(__file__).parents[3] / "shared" / "data") / "strategyqa"
BIRTH = Exchange(question="When was Mozart born?", answer="Mozart was born in 1756 in Salzburg.")
PHOTO = Exchange(question="When was the first photograph taken?", answer="Photography began in 1826.")


def test_each_question_gets_the_nearest_answer_whatever_their_order() -> None:
    asked = ["Which year saw the first photograph?", "In which year was Mozart born?"]
    assert nearest(asked, [BIRTH, PHOTO]) == [PHOTO.answer, BIRTH.answer]


def test_an_answer_is_given_once_to_the_question_that_is_nearer() -> None:
    assert nearest(["Did Mozart travel far?", "Where was Mozart born?"], [BIRTH]) == [None, BIRTH.answer]


def test_without_a_shared_telling_word_nothing_is_answered() -> None:
    known = [BIRTH, Exchange(question="What was it?", answer="It was that.")]
    assert nearest(["What is it?", "Who was the first?", "How deep is the sea?"], known) == [None] * 3


def test_more_answers_than_questions_leave_the_rest_unsaid() -> None:
    assert nearest(["When was the first photograph taken?"], [BIRTH, PHOTO]) == [PHOTO.answer]
    assert nearest([], [BIRTH]) == []
    assert nearest(["When was Mozart born?"], []) == [None]


def test_of_equally_near_ones_the_earlier_question_gets_the_earlier_answer() -> None:
    twins = [Exchange(question="What is a river?", answer="A river flows."), Exchange(question="What is a river?", answer="A river runs.")]
    assert nearest(["Is a river wide?", "Is a river deep?"], twins) == ["A river flows.", "A river runs."]


def test_the_words_of_an_answer_count_more_than_those_of_its_question() -> None:
    turned = [Exchange(question="When was Mozart born?", answer=PHOTO.answer), Exchange(question="When did it begin?", answer=BIRTH.answer)]
    assert nearest(["In which year was Mozart born?"], turned) == [BIRTH.answer]


def test_questions_that_are_echoed_get_their_own_answers() -> None:
    asked = ["What is it?", "When was Mozart born?", "Where was Mozart born?"]
    replies = ["Mozart was born in Salzburg, where he was born.", "1756.", "Austria."]
    assert nearest(asked, [Exchange(question=f"{q} ", answer=a) for q, a in zip(asked, replies, strict=True)]) == replies


@pytest.mark.parametrize("asked", ["Did Mozart live to see the first photograph", "So, did Mozart live to see a first photograph?"])
def test_the_rows_own_question_is_no_step_to_it(asked: str) -> None:
    assert steps_to("Did Mozart live to see the first photograph?", [BIRTH, Exchange(question=asked, answer="He died too early.")]) == [BIRTH]


@pytest.mark.parametrize("end", ["Final answer: Did he?\nThe answer is no.", "THOUGHT: 1756 < 1826.\nSo the answer is no.", "The answer is no.", ""])
def test_no_exchange_holds_the_verdict(end: str) -> None:
    first = "Q1. When was Mozart born?\nIn 1756. So the answer is: no."
    told = f"{first}\nQ2. Is it true that the answer is no?\nIt is.\nQ3. How many saw it?\nThe answer is 8."
    found = TASK.teacher_exchanges(f"{told}\n{end}")
    known = [("When was Mozart born?", "In 1756."), ("How many saw it?", "The answer is 8.")]
    assert [(one.question, one.answer) for one in found] == known[: 2 if end else 1]  # without a verdict the last such words are taken for it
    assert found and not any("answer is no" in one.question + one.answer for one in found)


def test_a_reply_without_sub_questions_has_no_exchanges() -> None:
    assert TASK.teacher_exchanges("Mozart died early. So the answer is no.") == TASK.teacher_exchanges("") == []


@pytest.mark.skipif(not DATA.is_dir(), reason="StrategyQA is not here; set ASKBACK_DATA to the folder that holds it")
def test_gpt4s_sub_questions_find_the_facts() -> None:
    replies = {row["qid"]: row["completion"] for _, row in read_rows(DATA / "gpt4_ltm.jsonl")}
    answered = asked = 0
    for sample in load_local(TASK, DATA, "dev"):
        steps = steps_to(sample.question, TASK.teacher_exchanges(replies.get(sample.id, "")))[:2]
        found = nearest([step.question for step in steps], TASK.teacher_exchanges(TASK.render_gold(sample)))
        asked, answered = asked + len(found), answered + sum(fact is not None for fact in found)
    assert asked > 400 and answered / asked > 0.9
