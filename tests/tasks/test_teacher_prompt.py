"""The teacher's prompt: short, since it is paid for with every row, and asking for the form that is read back."""

from pathlib import Path

import pytest

from askback.contracts.records import Draft
from askback.tasks import TASKS, prompts, task_named

TOKENIZER = Path(__file__).parents[2] / "var" / "models" / "SmolLM2-135M-Instruct" / "tokenizer.json"
MOST_TOKENS = {"strategyqa": 40, "hotpotqa": 50}
MOST_WORDS = {"strategyqa": 22, "hotpotqa": 26}
FIELDS = dict.fromkeys(("question", "draft", "questions", "passages"), "")


def fixed_words(task: str) -> str:
    """The prompt without what differs from row to row."""
    return prompts.render(task, "teacher", FIELDS)


@pytest.mark.parametrize("task", TASKS)
def test_few_words_are_paid_for_with_every_row(task: str) -> None:
    assert len(fixed_words(task).split()) <= MOST_WORDS[task]


@pytest.mark.parametrize("task", TASKS)
def test_few_tokens_are_paid_for_with_every_row(task: str) -> None:
    if not TOKENIZER.is_file():
        pytest.skip(f"{TOKENIZER} is not there; `make unit` builds it")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    assert len(tokenizer.encode(fixed_words(task), add_special_tokens=False).ids) <= MOST_TOKENS[task]


@pytest.mark.parametrize("task", TASKS)
def test_it_is_the_plans_template(task: str) -> None:
    draft = Draft(answer="no", questions=["Wings?", "Lift?"])
    lines = task_named(task).prompt("teacher", "Can it fly?", draft=draft)[0].content.splitlines()
    assert lines[:4] == ["Q: Can it fly?", "Student draft: no", "1. Wings?", "2. Lift?"]
    assert lines[4].startswith("Teacher: ")


@pytest.mark.parametrize("task", TASKS)
def test_a_reply_in_the_form_that_it_shows_is_read_whole(task: str) -> None:
    shown = fixed_words(task).split("Teacher: ")[1].split("\n", 1)[1]
    reply = task_named(task).parse_teacher(shown)
    assert [(exchange.question, exchange.answer) for exchange in reply.exchanges] == {
        "strategyqa": [("question", "answer")],
        "hotpotqa": [("Which page mentions ...?", "title: sentence")],
    }[task]
    assert reply.thought.endswith("steps") and reply.answer in ("yes", "a few words")
