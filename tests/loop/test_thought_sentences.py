"""How much of a thought stands in the tracks, and where its sentences end."""

import pytest
from track_traces import trace

from askback.contracts.records import Example, Trace
from askback.loop import tracks
from askback.loop.tracks.sentences import last_sentences, sentences
from askback.tasks import task_named

TASK = task_named("strategyqa")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is 0. It is 1.", ["It is 0.", "It is 1."]),
        ("Is it? It is! So be it", ["Is it?", "It is!", "So be it"]),
        ("Dr. Smith met J. R. Tolkien in 1990. He left.", ["Dr. Smith met J. R. Tolkien in 1990.", "He left."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("It was No. 5 of 9. No. It was not.", ["It was No. 5 of 9.", "No.", "It was not."]),
        ("1. A fact stands. 2. Another follows (see Fig. 3). It ends.", ["1. A fact stands.", "2. Another follows (see Fig. 3).", "It ends."]),
        ("It costs 3.5 dollars, e.g. in the U.S. in May. So no.", ["It costs 3.5 dollars, e.g. in the U.S. in May.", "So no."]),
        ("one. two. three", ["one. two. three"]),
        ("  ", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, found: list[str]) -> None:
    assert sentences(text) == found
    assert " ".join(found).split() == text.split()


def test_the_last_sentences_are_kept_and_none_keeps_the_text_as_it_is() -> None:
    text = "A fact.  Another fact. So it is."
    assert [last_sentences(text, most) for most in (None, 9, 2, 0)] == [text, "A fact. Another fact. So it is.", "Another fact. So it is.", ""]


def said(form: str, most: int | None, one: Trace) -> list[str]:
    rows = tracks.build(TASK, [one], 2, form, tracks.Thoughts(most))["cot"]
    return [row.completion[0].content for row in rows if isinstance(row, Example)]


@pytest.mark.parametrize(
    ("form", "two", "one", "none"),
    [
        ("rationale-first", ["It is 0. It is 1.\nThe answer is yes"], ["It is 1.\nThe answer is yes"], ["The answer is yes"]),
        ("answer-first", ["The answer is yes\nIt is 0. It is 1."], ["The answer is yes\nIt is 1."], ["The answer is yes"]),
        ("multitask", ["yes", "It is 0. It is 1."], ["yes", "It is 1."], ["yes"]),
    ],
)
def test_a_shorter_thought_stands_in_every_form_of_cot(form: str, two: list[str], one: list[str], none: list[str]) -> None:
    assert [said(form, most, trace(1)) for most in (None, 2, 1, 0)] == [two, two, one, none]


def test_the_prompt_stays_and_so_do_the_other_tracks() -> None:
    whole, bare = (tracks.build(TASK, [trace(1)], 2, thoughts=tracks.Thoughts(most)) for most in (None, 0))
    assert [row.prompt for row in whole["cot"]] == [row.prompt for row in bare["cot"]]
    assert {name: rows for name, rows in whole.items() if name != "cot"} == {name: rows for name, rows in bare.items() if name != "cot"}


def test_a_reply_without_a_thought_gives_no_row_even_where_none_is_kept() -> None:
    empty = trace(1).model_copy(update={"reply": trace(1).reply.model_copy(update={"thought": " "})})
    assert said("rationale-first", 0, empty) == []
