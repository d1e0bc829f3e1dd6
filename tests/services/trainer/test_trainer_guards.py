import itertools
from collections.abc import Sequence

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from askback.contracts.trainer import Recipe, SignalLoss
from services.trainer.rows.dataset import Row
from services.trainer.rows.guards import Signal, check, measure


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
        return [ord(letter) for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


class Mistaken(Letters):
    """Reads some letters as others."""

    def __init__(self, mistakes: dict[str, str]) -> None:
        super().__init__()
        self._mistakes = str.maketrans(mistakes)

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text.translate(self._mistakes)]


class Spacing(Letters):
    """Puts a space before a text and after each turn's opening and end, as SentencePiece does."""

    def decode(self, ids: Sequence[int]) -> str:
        text = super().decode(ids)
        return text if len(text) == 1 else " " + text.replace("$", "$ ").replace("^", "^ ")


class Strict(Letters):
    """Wants the turns to alternate."""

    def render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        roles = [message.role for message in messages]
        if any(first == second for first, second in itertools.pairwise(roles)):
            raise RuntimeError("Conversation roles must\nalternate")
        return super().render(messages, generation_prompt=generation_prompt)


class Deaf(Letters):
    """Leaves out what `unheard` names: the replies' text, or the replies."""

    def __init__(self, unheard: str) -> None:
        super().__init__()
        self._unheard = unheard

    def render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        said = [message for message in messages if self._unheard != "reply" or message.role == "user"]
        if self._unheard == "text":
            said = [message if message.role == "user" else Message(role=message.role, content="") for message in said]
        return super().render(said, generation_prompt=generation_prompt)


def row(question: str, *answers: str, line: int = 7) -> Row:
    fields = ("completion",) if len(answers) == 1 else ("chosen", "rejected")
    replies = {field: [Message(role="assistant", content=answer)] for field, answer in zip(fields, answers, strict=True)}
    return Row(line, [Message(role="user", content=question)], replies)


def recipe(max_length: int, *allow: SignalLoss) -> Recipe:
    return Recipe.model_construct(max_length=max_length, allow=list(allow))


def test_the_prompt_and_every_reply_are_counted() -> None:
    # "^u:q$\n" 6 + "^a:" 3 = 9 tokens of prompt; the reply and "$\n" behind it
    signal = measure([row("q", "yes"), row("q", "yes", "no")], Letters(), max_length=14)
    assert signal == Signal(rows=2, tokens=14 + 14 + 13, longest=14)
    check(signal, recipe(14))


def test_each_loss_is_counted_and_named_with_its_lines() -> None:
    answers = [("q", "yes"), ("q", "no", "maybe"), ("qqqqq", "no"), ("q", "yes"), ("q", "yes"), ("q", "n")]
    signal = measure([row(*texts, line=line) for line, texts in enumerate(answers, 1)], Letters(), max_length=13)
    assert (signal.truncated, signal.dropped, signal.masked) == (4, 1, 0)
    assert signal.lines == {"truncated": [1, 2, 4], "dropped": [3]}
    with pytest.raises(InvalidInput) as refusal:
        check(signal, recipe(13))
    assert str(refusal.value) == (
        "recipe.max_length: at 13 tokens 4 of 6 rows lose the end of a reply (lines 1, 2, 4, ...), 1 of 6 rows have a prompt that leaves no room "
        'for a reply and would be dropped (line 3); raise max_length to 17, which loses nothing, or add "truncated", "dropped" to recipe.allow'
    )
    check(measure([row(*texts) for texts in answers], Letters(), max_length=17), recipe(17))


def test_a_loss_is_allowed_by_its_own_name_alone() -> None:
    signal = Signal(rows=9, tokens=90, longest=20, truncated=2, dropped=1, lines={"truncated": [1, 2], "dropped": [3]})
    check(signal, recipe(13, SignalLoss.DROPPED, SignalLoss.TRUNCATED))
    for allowed, refused in ((SignalLoss.TRUNCATED, SignalLoss.DROPPED), (SignalLoss.DROPPED, SignalLoss.TRUNCATED)):
        with pytest.raises(InvalidInput, match=f'or add "{refused}" to recipe.allow$'):
            check(signal, recipe(13, allowed, SignalLoss.MASKED))


def test_nothing_left_to_train_is_refused_whatever_is_allowed() -> None:
    signal = measure([row("q", "yes")], Letters(), max_length=9)
    with pytest.raises(InvalidInput, match=r"1 of 1 rows have a prompt .*leaves nothing to train on; raise max_length to 14, which loses nothing$"):
        check(signal, recipe(9, *SignalLoss))


def test_a_reply_that_the_template_leaves_out_is_masked() -> None:
    signal = measure([row("q", "yes"), row("q", "no")], Deaf("reply"), max_length=64)
    assert (signal.masked, signal.dropped, signal.truncated) == (2, 0, 0)
    with pytest.raises(
        InvalidInput, match=r"^dataset: 2 of 2 rows have a reply that .* \(lines 7, 7\), which leaves nothing to train on; use a base model"
    ):
        check(signal, recipe(64, SignalLoss.MASKED))
    partly = Signal(rows=3, tokens=30, longest=12, masked=1, lines={"masked": [2]})
    with pytest.raises(InvalidInput, match=r'^dataset: 1 of 3 rows .* \(line 2\); use a base model .*, or add "masked" to recipe.allow$'):
        check(partly, recipe(64))
    check(partly, recipe(64, SignalLoss.MASKED))


def test_a_template_that_leaves_out_the_replys_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dataset:7: the chat template leaves out a part of completion"):
        measure([row("q", "yes")], Deaf("text"), max_length=64)


def test_a_template_that_renders_the_prompt_in_two_ways_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dataset:7: the chat template renders the prompt differently when completion follows"):
        measure([row("q", "yes")], Letters(renamed_prompt=True), max_length=64)


def test_a_template_that_refuses_the_roles_is_named_with_the_row() -> None:
    twice = Row(9, [Message(role="user", content="q"), Message(role="user", content="r")], row("q", "yes").replies)
    with pytest.raises(
        InvalidInput, match=r"dataset:9: the chat template refuses the roles user, user \(Conversation roles must alternate\); change"
    ):
        measure([twice], Strict(), max_length=64)


def test_a_reply_that_merges_with_the_prompts_last_token_is_refused() -> None:
    class Merging(Letters):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace(": ", "\N{RATIO}"))  # a colon merges with a space, as in BPE

        def decode(self, ids: Sequence[int]) -> str:
            return super().decode(ids).replace("\N{RATIO}", ": ")

    with pytest.raises(InvalidInput, match="dataset:7: completion: its start merges"):
        measure([row("q", " yes")], Merging(), max_length=64)


@pytest.mark.parametrize("ending", ["\n", "!\n", ""])
def test_a_reply_without_a_stop_token_is_refused(ending: str) -> None:
    with pytest.raises(InvalidInput, match="ends completion without a stop token"):
        measure([row("q", "yes")], Letters(ending=ending), max_length=64)


@pytest.mark.parametrize(("question", "answer", "field"), [("q$", "yes", "prompt"), ("q", "y$es", "completion")])
def test_a_stop_token_written_as_text_is_refused(question: str, answer: str, field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"dataset:7: {field}: holds the model's stop token '\$' as text"):
        measure([row(question, answer)], Letters(), max_length=64)


def test_a_tokenizer_that_cannot_write_the_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"dataset:7: the tokenizer turns 'é\$.*' into '\?\$.*'; write it in characters that it knows"):
        measure([row("q", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")], Mistaken({"\N{LATIN SMALL LETTER E WITH ACUTE}": "?"}), max_length=64)
    with pytest.raises(InvalidInput, match="dataset:7: the tokenizer turns 'Yes"):
        measure([row("q", "Yes")], Mistaken({"Y": "y"}), max_length=64)


def test_the_spaces_that_sentencepiece_adds_do_no_harm() -> None:
    assert measure([row("q", "a b")], Spacing(), max_length=64).tokens == 14
