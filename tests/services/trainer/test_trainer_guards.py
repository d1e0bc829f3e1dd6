from collections.abc import Sequence

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from services.trainer.dataset import Row
from services.trainer.guards import check, measure


class Letters:
    """One token per letter; "$" ends a turn, "^" opens one."""

    stop_ids = frozenset({ord("$")})

    def __init__(self, ending: str = "$\n", opening: str = "^a:", renamed_prompt: bool = False) -> None:
        self._ending, self._opening, self._renamed = ending, opening, renamed_prompt

    def render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        text = "".join(f"^{message.role[0]}:{message.content}{self._ending}" for message in messages)
        if generation_prompt:
            text = (text.upper() if self._renamed else text) + self._opening
        return text

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text.replace(": ", "\N{RATIO}")]  # a colon merges with a space, as in BPE

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def row(question: str, *answers: str) -> Row:
    fields = ("completion",) if len(answers) == 1 else ("chosen", "rejected")
    replies = {field: [Message(role="assistant", content=answer)] for field, answer in zip(fields, answers, strict=True)}
    return Row(7, [Message(role="user", content=question)], replies)


def test_the_prompt_and_every_reply_are_counted() -> None:
    # "^u:q$\n" 6 + "^a:" 3 = 9 tokens of prompt; the reply and "$\n" behind it
    signal = measure([row("q", "yes"), row("q", "yes", "no")], Letters(), max_length=14)
    assert (signal.rows, signal.tokens, signal.longest, signal.cut, signal.dropped) == (2, 14 + 14 + 13, 14, 0, 0)
    check(signal, 14, allow_truncation=False)


def test_rows_that_would_be_cut_or_dropped_are_counted_and_refused() -> None:
    rows = [row("q", "yes"), row("q", "no", "maybe"), row("qqqqq", "no")]
    signal = measure(rows, Letters(), max_length=13)
    assert (signal.cut, signal.dropped) == (3, 1)
    with pytest.raises(InvalidInput, match=r"3 of 3 rows are longer than 13 tokens.* 1 have a prompt .* raise it to 17 or set allow_truncation"):
        check(signal, 13, allow_truncation=False)
    check(signal, 13, allow_truncation=True)


def test_nothing_left_to_train_is_refused_even_when_truncation_is_allowed() -> None:
    signal = measure([row("q", "yes")], Letters(), max_length=9)
    with pytest.raises(InvalidInput, match="the prompt alone fills 9 tokens in all 1 rows"):
        check(signal, 9, allow_truncation=True)


def test_a_template_that_renders_the_prompt_in_two_ways_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dataset:7: the chat template renders the prompt differently when completion follows"):
        measure([row("q", "yes")], Letters(renamed_prompt=True), max_length=64)


def test_a_reply_that_merges_with_the_prompts_last_token_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dataset:7: completion: its start merges"):
        measure([row("q", " yes")], Letters(), max_length=64)


@pytest.mark.parametrize("ending", ["\n", "!\n", ""])
def test_a_reply_without_a_stop_token_is_refused(ending: str) -> None:
    with pytest.raises(InvalidInput, match="ends completion without a stop token"):
        measure([row("q", "yes")], Letters(ending=ending), max_length=64)
