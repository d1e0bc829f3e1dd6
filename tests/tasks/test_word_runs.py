import pytest

from askback.tasks import TASKS, prompts
from askback.tasks.word_runs import runs, words


def test_words_leave_out_case_and_punctuation() -> None:
    assert words("Is the ﬁsh – “BIG”?") == ("is", "the", "fish", "big")
    assert words("?!") == ("?!",)


def test_runs_of_a_length() -> None:
    assert runs("a b c", 2) == {("a", "b"), ("b", "c")}
    assert runs("a b", 3) == {("a", "b")}


@pytest.mark.parametrize("task", TASKS)
def test_every_role_has_a_prompt(task: str) -> None:
    found = prompts.roles(task)
    assert {"direct", "cot", "context", "clarify", "rewrite", "teacher", "label", "rationale", "cot-answer-first"} <= set(found)
    assert all(prompts.template(task, role) for role in found)
