"""Counting as OpenAI bills, and what counts where its vocabularies are not at hand."""

import time

import pytest
import tiktoken

from askback.contracts.records import Message
from askback.loop.tiktoken_counter import TiktokenCounter, chat_tokens, counter_of
from askback.loop.tokenizers_counter import WordEstimate


def byte_vocabulary(*merged: bytes) -> tiktoken.Encoding:
    """One token for each byte, and one for each of `merged`."""
    ranks = {bytes([i]): i for i in range(256)} | {text: 256 + i for i, text in enumerate(merged)}
    return tiktoken.Encoding("bytes", pat_str=r"\s?\w+|\s|[^\w\s]", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 300})


def test_a_text_is_counted_as_a_whole_and_specials_as_text() -> None:
    counter = TiktokenCounter(byte_vocabulary(b"ab").encode_ordinary, "bytes")
    assert [counter.count(text) for text in ("", "ab", "ab ab", "<|endoftext|>")] == [0, 1, 3, 13]


def test_a_conversation_has_three_around_each_message_and_three_before_the_reply() -> None:
    counter = TiktokenCounter(byte_vocabulary().encode_ordinary, "bytes")
    assert chat_tokens(counter, [Message(role="user", content="abcde")]) == 3 + 3 + 4 + 5
    assert chat_tokens(counter, [Message(role="user", content="a"), Message(role="assistant", content="")]) == 3 + 3 + 4 + 1 + 3 + 9


def test_a_model_that_is_not_openais_is_counted_otherwise() -> None:
    words = WordEstimate()
    assert counter_of("SmolLM2-135M-Instruct", words) is words


@pytest.mark.parametrize("failure", [OSError("no network"), ValueError("hash mismatch")])
def test_without_its_vocabulary_a_model_is_counted_otherwise(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def refuse(model: str) -> tiktoken.Encoding:
        raise failure

    monkeypatch.setattr(tiktoken, "encoding_for_model", refuse)
    words = WordEstimate()
    assert counter_of("gpt-4", words) is words


def test_a_download_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(model: str) -> tiktoken.Encoding:
        time.sleep(5)
        return byte_vocabulary()

    monkeypatch.setattr(tiktoken, "encoding_for_model", hang)
    started, words = time.monotonic(), WordEstimate()
    assert counter_of("gpt-4", words, download_s=0.05) is words
    assert time.monotonic() - started < 2


def test_a_vocabulary_at_hand_counts_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda model: byte_vocabulary(b"ab"))
    counter = counter_of("gpt-4", WordEstimate())
    assert (counter.name, counter.count("ab")) == ("tiktoken's bytes, of gpt-4", 1)
