"""Tracks of the student's own questions, with the answers nearest to them."""

from track_traces import trace

from askback.contracts.records import Draft, Trace
from askback.contracts.student import Asker
from askback.loop.tracks.forms import build
from askback.loop.tracks.own_questions import own_exchanges
from askback.tasks import task_named

TASK = task_named("strategyqa")
REPLY = (
    "Q1. How long do ravens live?\nRavens live for twenty years.\n"
    "Q2. How high is the tower?\nThe tower is forty metres high.\n"
    "Final answer: Could a raven see the tower?\nThe answer is yes."
)


def asking(*questions: str, facts: tuple[str, ...] = ()) -> Trace:
    made = trace(1, question="Could a raven see the tower?")
    sample = made.sample.model_copy(update={"facts": list(facts)})
    reply = made.reply.model_copy(update={"text": REPLY})
    return made.model_copy(update={"sample": sample, "draft": Draft(answer="no", questions=list(questions)), "reply": reply})


def test_each_question_gets_the_teachers_nearest_answer() -> None:
    found = own_exchanges(TASK, asking("What height has the tower?", "What is the age of ravens that live long?"), 2)
    assert [exchange.answer for exchange in found] == ["The tower is forty metres high.", "Ravens live for twenty years."]


def test_a_fact_answers_where_the_teacher_said_nothing_and_what_nobody_answers_is_left_out() -> None:
    found = own_exchanges(TASK, asking("Who painted the ceiling?", "What do zebras eat?", facts=("Nobody painted the ceiling.",)), 2)
    assert [(exchange.question, exchange.answer) for exchange in found] == [("Who painted the ceiling?", "Nobody painted the ceiling.")]


def test_the_verdict_is_no_answer_and_a_question_that_tells_it_is_left_out() -> None:
    found = own_exchanges(TASK, asking("Could a raven see the tower?", "As the answer is yes, how high is the tower?"), 2)
    assert all("answer is" not in exchange.answer for exchange in found)
    assert "As the answer is yes, how high is the tower?" not in [exchange.question for exchange in found]


def test_the_track_dialogue_teaches_them_and_the_others_stay() -> None:
    one = asking("What height has the tower?")
    teachers, own = build(TASK, [one], 2), build(TASK, [one], 2, asker=Asker.STUDENT)
    assert own["dialogue"][0].completion[0].content == "1. What height has the tower?"  # type: ignore[union-attr]
    assert "forty metres" in own["dialogue"][1].prompt[-1].content + own["dialogue"][1].prompt[0].content
    assert {name: rows for name, rows in own.items() if name != "dialogue"} == {name: rows for name, rows in teachers.items() if name != "dialogue"}


def test_a_draft_without_an_answered_question_gives_no_rows() -> None:
    assert build(TASK, [asking("What do zebras eat?")], 2, asker=Asker.STUDENT)["dialogue"] == []
