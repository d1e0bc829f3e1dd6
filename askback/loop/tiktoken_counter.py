"""Count the tokens of OpenAI's models with their own vocabularies, which tiktoken downloads at first use and then keeps."""

from collections.abc import Callable, Sequence
from threading import Thread
from typing import TYPE_CHECKING

from askback.contracts.records import Message
from askback.loop.tokenizers_counter import TokenCounter

if TYPE_CHECKING:
    from tiktoken import Encoding

# Marks around one message and before the reply, as OpenAI's cookbook counts them ("How to count tokens with tiktoken").
_MESSAGE_TOKENS = 3
_REPLY_TOKENS = 3
_DOWNLOAD_S = 30.0  # two megabytes; the download itself has no limit, and a network that answers nothing must not hold up an estimate


class TiktokenCounter:
    """Counts whole texts in a model's vocabulary."""

    def __init__(self, encode: Callable[[str], list[int]], name: str) -> None:
        self.name = name
        self._encode = encode

    def count(self, text: str) -> int:
        return len(self._encode(text))


def counter_of(model: str, otherwise: TokenCounter, download_s: float = _DOWNLOAD_S) -> TokenCounter:
    """The counter of an OpenAI model; `otherwise` for any other, without tiktoken, and where the vocabulary is not at hand in time."""
    encoding = _loaded(model, download_s)
    if encoding is None:
        return otherwise
    return TiktokenCounter(encoding.encode_ordinary, f"tiktoken's {encoding.name}, of {model}")


def chat_tokens(counter: TokenCounter, messages: Sequence[Message]) -> int:
    """Prompt tokens that OpenAI bills for `messages`: their roles and texts, 3 around each, 3 before the reply."""
    return _REPLY_TOKENS + sum(_MESSAGE_TOKENS + counter.count(message.role) + counter.count(message.content) for message in messages)


def _loaded(model: str, download_s: float) -> "Encoding | None":
    """The model's vocabulary, None where there is none."""
    try:
        import tiktoken
    except ModuleNotFoundError:
        return None
    found: list[Encoding] = []

    def load() -> None:
        try:
            found.append(tiktoken.encoding_for_model(model))
        except (KeyError, ValueError, OSError):  # no model of OpenAI's, a broken download, no network
            return

    thread = Thread(target=load, name="vocabulary", daemon=True)
    thread.start()
    thread.join(download_s)
    return found[0] if found else None
