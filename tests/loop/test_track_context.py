"""The track `context` is trained on what mode `context` reads at test time: the answers, never the steps towards the verdict."""

import pytest
from track_traces import trace

from askback.contracts.records import Draft
from askback.loop import tracks
from askback.tasks import task_named
from askback.tasks.dialogue import pair

TASK = task_named("strategyqa")
ANSWERED = "Q1. Wings?\nTwo.\nQ2. Heavy?\nLight.\nQ3. Feathers?\nMany.\nTHOUGHT: Light things with wings fly, so yes.\nThe answer is yes."


@pytest.mark.parametrize("text", [ANSWERED, "Wings lift. So the answer is yes."], ids=["answers and a thought", "a free thought"])
@pytest.mark.parametrize("questions", [["Wings?"], ["Wings?", "Heavy?"]])
def test_training_and_test_time_read_the_same(text: str, questions: list[str]) -> None:
    one = trace(1).model_copy(update={"reply": TASK.parse_teacher(text), "draft": Draft(answer="no", questions=questions)})
    (row,) = tracks.build(TASK, [one], 2)["context"]
    read = " ".join(exchange.answer for exchange in pair(questions, TASK.teacher_answers(text)))  # as services.student.asking joins them
    assert row.prompt == TASK.prompt("context", one.sample.question, thought=read)
    assert "so yes" not in row.prompt[0].content


def test_the_thought_is_learnt_where_thinking_is() -> None:
    one = trace(1).model_copy(update={"reply": TASK.parse_teacher(ANSWERED)})
    (row,) = tracks.plain(TASK, [one])["cot"]
    assert row["cot"] == "Two. Light. Many. Light things with wings fly, so yes."
