"""Find, before any training, the rows whose signal would be lost without a word.

TRL cuts a row at `max_length`, so that a long completion loses its end and its stop token, and drops a row whose prompt
fills `max_length`. A chat template that renders the prompt alone in another way than with its completion, or that ends a
reply without a stop token, trains on something that inference never sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from services.trainer.dataset import Row


class ChatTokenizer(Protocol):
    """A tokenizer with its chat template, and the ids that end a reply."""

    stop_ids: frozenset[int]

    def render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        """The template's text."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendered text, with nothing added."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens included."""


@dataclass(frozen=True)
class Signal:
    """What the rows hold under one tokenizer and `max_length`."""

    rows: int
    tokens: int
    """Tokens of all prompts with all their replies, before any cut."""
    longest: int
    """Tokens of the longest prompt with its reply."""
    cut: int
    """Rows longer than `max_length`, which lose the end of a reply."""
    dropped: int
    """Rows whose prompt alone fills `max_length`."""


def measure(rows: Sequence[Row], tokenizer: ChatTokenizer, max_length: int) -> Signal:
    """Count what `max_length` tokens would cost; raises InvalidInput naming the line where the template loses signal."""
    tokens = longest = cut = dropped = 0
    for row in rows:
        prompt = tokenizer.render(row.prompt, generation_prompt=True)
        prompt_ids = tokenizer.encode(prompt)
        lengths = [_length(row, field, tokenizer, prompt, prompt_ids) for field in row.replies]
        tokens += sum(lengths)
        longest = max(longest, *lengths)
        cut += max(lengths) > max_length
        dropped += len(prompt_ids) >= max_length
    return Signal(len(rows), tokens, longest, cut, dropped)


def check(signal: Signal, max_length: int, allow_truncation: bool) -> None:
    """Raises InvalidInput when rows would be cut or dropped and that was not allowed, or when no row would be left."""
    if signal.dropped == signal.rows:
        raise InvalidInput(f"recipe.max_length: the prompt alone fills {max_length} tokens in all {signal.rows} rows; raise it to {signal.longest}")
    if (signal.cut or signal.dropped) and not allow_truncation:
        raise InvalidInput(
            f"recipe.max_length: {signal.cut} of {signal.rows} rows are longer than {max_length} tokens and would lose the end of their "
            f"reply, {signal.dropped} have a prompt that fills it alone; raise it to {signal.longest} or set allow_truncation"
        )


def _length(row: Row, field: str, tokenizer: ChatTokenizer, prompt: str, prompt_ids: list[int]) -> int:
    text = tokenizer.render([*row.prompt, *row.replies[field]], generation_prompt=False)
    ids = tokenizer.encode(text)
    if not text.startswith(prompt):
        raise InvalidInput(f"dataset:{row.line}: the chat template renders the prompt differently when {field} follows; use another template")
    if ids[: len(prompt_ids)] != prompt_ids:
        raise InvalidInput(f"dataset:{row.line}: {field}: its start merges with the prompt's last token; strip white space from its start")
    reply = ids[len(prompt_ids) :]
    while reply and reply[-1] not in tokenizer.stop_ids and not tokenizer.decode(reply[-1:]).strip():
        reply.pop()  # a line break after the stop token is the template's way to part turns
    if not reply or reply[-1] not in tokenizer.stop_ids:
        raise InvalidInput(f"dataset:{row.line}: the chat template ends {field} without a stop token, so that the model would never learn to stop")
    return len(ids)
