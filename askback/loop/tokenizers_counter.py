"""Count the tokens of texts and conversations without the model: by its `tokenizer.json`, else by an estimate that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from askback.contracts.records import Message

_TOKENS_PER_WORD = 1.4  # English prose in the vocabularies of small models
_LINES = 256  # more than the lines of one question's passages
_OPENING_TOKENS = 32  # a chat template's own system message and begin mark
_MESSAGE_TOKENS = 6  # a template's marks around one message, with its role


class TokenCounter(Protocol):
    """How many tokens the student reads."""

    @property
    def name(self) -> str:
        """How it counts, for the data card."""
        ...

    def count(self, text: str) -> int:
        """Tokens of `text` alone."""
        ...


@dataclass(frozen=True)
class WordEstimate:
    """1.4 tokens a word, rounded up."""

    name: str = f"an estimate of {_TOKENS_PER_WORD} tokens a word"

    def count(self, text: str) -> int:
        return -int(-_TOKENS_PER_WORD * len(text.split()) // 1)


class FileCounter:
    """Counts with a `tokenizer.json`, line by line, since the rows of one question share most of their lines.

    Vocabularies that join a line break with the next word may have a token fewer at some breaks.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.name = name
        self._line = lru_cache(_LINES)(lambda line: len(tokenizer.encode(line, add_special_tokens=False).ids))

    def count(self, text: str) -> int:
        return sum(self._line(line) for line in text.splitlines(keepends=True))


def counter_for(folder: str) -> TokenCounter:
    """The counter of the base model in `folder`; the estimate where there is no `tokenizer.json` or no `tokenizers` package."""
    file = Path(folder) / "tokenizer.json"
    if not folder or not file.is_file():
        return WordEstimate()
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        return WordEstimate()
    tokenizer: Any = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()  # a file may cut at the length that its model was tuned with
    return FileCounter(tokenizer, f"the tokenizer of {file.parent.name}")


def conversation_tokens(counter: TokenCounter, messages: Sequence[Message]) -> int:
    """Tokens of `messages` in a chat template: 32 for its opening and 6 around each message, which is on the safe side."""
    return _OPENING_TOKENS + sum(_MESSAGE_TOKENS + counter.count(message.content) for message in messages)
