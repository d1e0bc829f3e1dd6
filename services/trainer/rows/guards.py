"""Find, before any training, the rows whose signal would be lost without a word.

TRL cuts a row at `max_length`, so that a long completion loses its end and its stop token, and drops a row whose prompt
fills `max_length`. A chat template that renders the prompt alone in another way than with its completion, that leaves out
the reply, or that ends it without a stop token, trains on something that inference never sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from askback.contracts.trainer import Recipe, SignalLoss
from services.trainer.rows.dataset import Row

SHOWN = 3
"""Lines that a complaint names of each kind of loss."""

_HARM = {
    SignalLoss.TRUNCATED: "lose the end of a reply",
    SignalLoss.DROPPED: "have a prompt that leaves no room for a reply and would be dropped",
    SignalLoss.MASKED: "have a reply that the chat template leaves out, so that no token carries loss",
}


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
    """What the rows hold under one tokenizer and `max_length`. A row counts under one loss at the most: masked before dropped before truncated."""

    rows: int
    tokens: int
    """Tokens of all prompts with all their replies, before any cut."""
    longest: int
    """Tokens of the longest prompt with its reply."""
    truncated: int = 0
    """Rows over `max_length` that keep a part of every reply."""
    dropped: int = 0
    """Rows whose prompt alone fills `max_length`."""
    masked: int = 0
    """Rows with a reply that renders to no token."""
    lines: dict[str, list[int]] = field(default_factory=dict)
    """First lines of the file under each loss, at most `SHOWN`."""


def measure(rows: Sequence[Row], tokenizer: ChatTokenizer, max_length: int) -> Signal:
    """Count what `max_length` tokens would cost; raises InvalidInput naming the line where the template loses signal."""
    tokens = longest = 0
    lost: dict[SignalLoss, list[int]] = {loss: [] for loss in SignalLoss}
    stops = [text for stop in tokenizer.stop_ids if (text := tokenizer.decode([stop]).strip())]
    for row in rows:
        _refuse_stops(row, stops)
        prompt = _rendered(row, tokenizer, [], generation_prompt=True)
        prompt_ids = tokenizer.encode(prompt)
        lengths = [_length(row, name, tokenizer, prompt, prompt_ids) for name in row.replies]
        tokens += sum(lengths)
        longest = max(longest, *lengths)
        if min(lengths) == len(prompt_ids):
            lost[SignalLoss.MASKED].append(row.line)
        elif len(prompt_ids) >= max_length:
            lost[SignalLoss.DROPPED].append(row.line)
        elif max(lengths) > max_length:
            lost[SignalLoss.TRUNCATED].append(row.line)
    counts = {loss.value: len(lines) for loss, lines in lost.items()}
    return Signal(len(rows), tokens, longest, **counts, lines={loss.value: lines[:SHOWN] for loss, lines in lost.items() if lines})


def check(signal: Signal, recipe: Recipe) -> None:
    """Raises InvalidInput when rows lose signal in a way that `recipe.allow` does not name, or when no row would be left."""
    if signal.dropped + signal.masked == signal.rows:
        raise InvalidInput(f"{_told(signal, recipe, [SignalLoss.DROPPED, SignalLoss.MASKED])}, which leaves nothing to train on; {_way_out(signal)}")
    refused = [loss for loss in SignalLoss if getattr(signal, loss) and loss not in recipe.allow]
    if refused:
        words = ", ".join(f'"{loss}"' for loss in refused)
        raise InvalidInput(f"{_told(signal, recipe, refused)}; {_way_out(signal)}, or add {words} to recipe.allow")


def ends_in_stop(ids: Sequence[int], tokenizer: ChatTokenizer) -> bool:
    """Whether a stop token ends `ids`, but for blanks: a line break after it is the template's way to part turns."""
    last = len(ids) - 1
    while last >= 0 and ids[last] not in tokenizer.stop_ids and not tokenizer.decode(ids[last : last + 1]).strip():
        last -= 1
    return last >= 0 and ids[last] in tokenizer.stop_ids


def _told(signal: Signal, recipe: Recipe, losses: Sequence[SignalLoss]) -> str:
    parts = []
    for loss in losses:
        if count := getattr(signal, loss):
            lines = signal.lines.get(loss, [])
            more = ", ..." if count > len(lines) else ""
            parts.append(f"{count} of {signal.rows} rows {_HARM[loss]} ({'line' if count == 1 else 'lines'} {', '.join(map(str, lines))}{more})")
    cut = any(getattr(signal, loss) for loss in losses if loss is not SignalLoss.MASKED)
    place = f"recipe.max_length: at {recipe.max_length} tokens" if cut else "dataset:"
    return f"{place} {', '.join(parts)}"


def _way_out(signal: Signal) -> str:
    ways = []
    if signal.truncated or signal.dropped:
        ways.append(f"raise max_length to {signal.longest}, which loses nothing")
    if signal.masked:
        ways.append("use a base model with another chat template")
    return " and ".join(ways)


def _refuse_stops(row: Row, stops: Sequence[str]) -> None:
    named = {"prompt": row.prompt, **row.replies}
    for name, messages in named.items():
        for stop in stops:
            if any(stop in message.content for message in messages):
                raise InvalidInput(f"dataset:{row.line}: {name}: holds the model's stop token {stop!r} as text, which would end it there; remove it")


def _rendered(row: Row, tokenizer: ChatTokenizer, reply: Sequence[Message], *, generation_prompt: bool) -> str:
    try:
        return tokenizer.render([*row.prompt, *reply], generation_prompt=generation_prompt)
    except Exception as error:  # a template is a program of its own and raises what it likes
        roles = ", ".join(message.role for message in [*row.prompt, *reply])
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInput(f"dataset:{row.line}: the chat template refuses the roles {roles} ({reason}); change or remove the row") from error


def _length(row: Row, name: str, tokenizer: ChatTokenizer, prompt: str, prompt_ids: list[int]) -> int:
    """Tokens of the prompt with the reply `name`; those of the prompt alone where the template leaves the reply out."""
    text = _rendered(row, tokenizer, row.replies[name], generation_prompt=False)
    ids = tokenizer.encode(text)
    place = f"dataset:{row.line}: "
    _check_round_trip(place, text, ids, tokenizer)
    if prompt.startswith(text):
        return len(prompt_ids)
    if not text.startswith(prompt):
        raise InvalidInput(f"{place}the chat template renders the prompt differently when {name} follows; use another template")
    if ids[: len(prompt_ids)] != prompt_ids:
        raise InvalidInput(f"{place}{name}: its start merges with the prompt's last token; strip white space from its start")
    for message in row.replies[name]:
        if message.content.strip() not in text[len(prompt) :]:
            raise InvalidInput(f"{place}the chat template leaves out a part of {name}; use another template or leave out that part")
    if not ends_in_stop(ids[len(prompt_ids) :], tokenizer):
        raise InvalidInput(f"{place}the chat template ends {name} without a stop token, so that the model would never learn to stop")
    return len(ids)


def _check_round_trip(place: str, text: str, ids: Sequence[int], tokenizer: ChatTokenizer) -> None:
    back = tokenizer.decode(ids)
    if back == text:
        return
    # SentencePiece puts a space before a text and after a special token, as it does at test time.
    for marker in {tokenizer.decode([token]) for token in {ids[0], *tokenizer.stop_ids}} if ids else ():
        back, text = back.replace(f"{marker} ", marker), text.replace(f"{marker} ", marker)
    back, text = back.removeprefix(" "), text.removeprefix(" ")
    if back != text:
        at = next((at for at, (new, old) in enumerate(zip(back, text, strict=False)) if new != old), min(len(back), len(text)))
        lost, found = text[at : at + 12], back[at : at + 12]
        raise InvalidInput(f"{place}the tokenizer turns {lost!r} into {found!r}; write it in characters that it knows, or use another base model")
