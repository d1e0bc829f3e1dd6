import pytest

from askback.contracts.errors import InvalidInput, UpstreamRejected
from askback.contracts.records import Draft, Exchange
from askback.tasks import task_named
from askback.tasks.dialogue import pair

TASK = task_named("strategyqa")
ROW = {"qid": "q1", "question": "Can it fly?", "answer": True, "facts": ["It has wings.", "Wings lift."], "decomposition": ["Wings?", "Lift by #1?"]}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        ("Yes, because it has wings", "yes"),
        ("It has wings.\nThe answer is yes", "yes"),
        ("Answer: no", "no"),
        ("The answer is likely no, as it is heavy", "no"),
        ("The answer is yes. No, wait: the answer is no.", "no"),
        ("true", "yes"),
        ("It depends.", None),
        ("There is no way to know", None),
        ("", None),
    ],
)
def test_parse_answer(text: str, answer: str | None) -> None:
    assert TASK.parse_answer(text) == answer


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"answer": "yes"}, "answer"),
        ({"qid": ""}, "qid"),
        ({"question": 3}, "question"),
        ({"facts": [1]}, "facts"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput, match=f"`{named}`"):
        TASK.read(ROW | change)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidInput, match="`answer` is missing"):
        TASK.read({"qid": "q", "question": "Q?"})


def test_gold_reply_has_a_fact_for_each_question_and_the_answer() -> None:
    reply = TASK.parse_teacher(TASK.render_gold(TASK.read(ROW)))
    assert [exchange.answer for exchange in reply.exchanges] == ["It has wings.", "Wings lift."]
    assert (reply.answer, reply.thought) == ("yes", "It has wings. Wings lift.")


def test_gold_reply_needs_facts() -> None:
    with pytest.raises(InvalidInput, match="`facts`"):
        TASK.render_gold(TASK.read(ROW | {"facts": []}))


class TestTeacherText:
    def test_sub_questions_and_verdict(self) -> None:
        reply = TASK.parse_teacher("Q1. Wings?\nIt has two.\n\nQ2. Lift?\nThey lift\nit well.\nFinal answer: Can it fly?\nThe answer is yes, it can.")
        assert reply.exchanges == [Exchange(question="Wings?", answer="It has two."), Exchange(question="Lift?", answer="They lift it well.")]
        assert reply.answer == "yes"

    def test_the_verdict_never_stands_in_the_thought(self) -> None:
        for text in ("Q1. A?\nB is C.\nFinal answer: Q?\nNo, it is not.", "No, B is C. So the answer is no.", "B is C. Therefore, the answer is no."):
            thought = TASK.parse_teacher(text).thought
            assert "answer is" not in thought
            assert not thought.lower().startswith("no")
            assert "B is C." in thought

    def test_verdict_behind_final_answer_on_its_own_line(self) -> None:
        assert TASK.parse_teacher("Q1. A?\nB.\nFinal answer: Is it?\nYes, it is.").answer == "yes"
        assert TASK.parse_teacher("Q1. A?\nB.\nFinal answer: no").answer == "no"

    def test_a_reply_without_verdict_is_rejected_and_quoted(self) -> None:
        with pytest.raises(UpstreamRejected, match="depends on the case"):
            TASK.parse_teacher("Q1. A?\nB.\nFinal answer: Is it?\nThat depends on the case.")

    @pytest.mark.parametrize("mark", ["THOUGHT: ", "Thought:\n", "**THOUGHT:** ", "### Thought:\n"])
    def test_steps_behind_the_answers_are_thought_and_no_answer(self, mark: str) -> None:
        text = f"Q1. Wings?\nTwo.\nQ2. Heavy?\nLight.\n{mark}Light things with wings fly,\nso it does.\nThe answer is yes."
        reply = TASK.parse_teacher(text)
        assert [exchange.answer for exchange in reply.exchanges] == TASK.teacher_answers(text) == ["Two.", "Light."]
        assert (reply.thought, reply.answer) == ("Two. Light. Light things with wings fly, so it does.", "yes")

    def test_a_thought_may_stand_anywhere_and_alone(self) -> None:
        first = "THOUGHT: It may.\nQ1. Wings?\nTwo.\nThe answer is yes."
        assert TASK.teacher_answers(first) == ["Two."]
        assert TASK.parse_teacher(first).thought == "Two. It may."
        for alone in ("THOUGHT: Wings lift. So the answer is yes.", "**Thought:**\nYes, wings lift. The answer is yes."):
            assert TASK.teacher_answers(alone) == [TASK.parse_teacher(alone).thought]
            assert TASK.parse_teacher(alone).thought.lower() == "wings lift."

    def test_an_answer_may_speak_of_a_thought(self) -> None:
        assert TASK.teacher_answers("Q1. Who?\nA school of thought: idealism.\nThe answer is no.") == ["A school of thought: idealism."]


class TestDialogue:
    def test_answers_pair_with_questions_and_the_rest_joins_the_last(self) -> None:
        assert pair(["A?"], ["1.", "2."]) == [Exchange(question="A?", answer="1. 2.")]
        assert pair(["A?", "B?"], ["1."]) == [Exchange(question="A?", answer="1.")]
        assert pair(["A?", "B?"], ["1.", "2.", "3."]) == [Exchange(question="A?", answer="1."), Exchange(question="B?", answer="2. 3.")]
        assert pair([], ["1."]) == pair(["A?"], []) == []

    def test_a_free_thought_is_the_answer_where_there_are_no_exchanges(self) -> None:
        assert TASK.teacher_answers("Wings lift. So the answer is yes.") == ["Wings lift."]

    def test_answers_are_read_without_a_verdict_and_never_with_one(self) -> None:
        text = "Q1. Wings?\nTwo.\nQ2. Heavy?\nLight.\nFinal answer: Can it fly?\n"
        assert TASK.teacher_answers(text + "That depends.") == TASK.teacher_answers(text + "The answer is yes.") == ["Two.", "Light."]
        with pytest.raises(UpstreamRejected, match="no verdict"):
            TASK.teacher_answers("Wings lift, and so it probably flies.")


class TestPrompts:
    def test_rewrite_continues_the_clarify_dialogue(self) -> None:
        exchanges = [Exchange(question="Wings?", answer="Two."), Exchange(question="Heavy?", answer="Light.")]
        opening, asked, answers = TASK.prompt("rewrite", "Can it fly?", exchanges=exchanges)
        assert [opening] == TASK.prompt("clarify", "Can it fly?")
        assert (asked.role, asked.content) == ("assistant", "1. Wings?\n2. Heavy?")
        assert answers.content.startswith("1. Two.\n2. Light.\n")

    def test_the_teacher_sees_draft_and_questions_but_no_gold_answer(self) -> None:
        draft = Draft(answer="no", questions=["Wings?"])
        text = TASK.prompt("teacher", "Can it fly?", draft=draft)[0].content
        assert "Can it fly?" in text and "Student draft: no" in text and "1. Wings?" in text

    def test_versions_differ_by_role_and_are_stable(self) -> None:
        versions = {TASK.prompt_version(role) for role in ("direct", "cot", "context", "clarify", "rewrite", "teacher")}
        assert len(versions) == 6
        assert TASK.prompt_version("direct") == TASK.prompt_version("direct")
