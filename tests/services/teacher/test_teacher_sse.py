"""Streams: taken in, put together, and made anew."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.teacher.upstream.sse import DONE, Assembler, EventReader, chunks_of, event, is_usage_alone

CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"page": "Water"}'}}
WHOLE: list[dict[str, Any]] = [
    {"index": 0, "message": {"role": "assistant", "content": "The answer  is\nyes. "}, "finish_reason": "stop"},
    {"index": 0, "message": {"role": "assistant", "content": "a", "reasoning_content": "It is wet."}, "finish_reason": "length"},
    {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "call_2"}]}, "finish_reason": "tool_calls"},
    {
        "index": 0,
        "message": {"role": "assistant", "content": "yes"},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "yes", "logprob": -0.1}]},
    },
]


def completion(*choices: dict[str, Any]) -> dict[str, Any]:
    numbered = [choice | {"index": index} for index, choice in enumerate(choices)]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": numbered, "usage": usage}


def assembled(chunks: list[bytes]) -> Assembler:
    whole = Assembler()
    for chunk in chunks:
        if chunk != DONE:
            whole.add(orjson.loads(chunk))
    return whole


@pytest.mark.parametrize("choices", [WHOLE[:1], WHOLE[1:2], WHOLE[2:3], WHOLE[3:], WHOLE], ids=["text", "reasoning", "tools", "logprobs", "four"])
def test_a_completion_streamed_and_put_together_is_the_same(choices: list[dict[str, Any]]) -> None:
    chunks = list(chunks_of(completion(*choices), include_usage=True))
    assert chunks[-1] == DONE
    whole = assembled(chunks)
    assert whole.finished
    assert whole.completion() == completion(*choices)


@given(st.text())
def test_every_text_survives_being_cut_into_words(text: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    got = assembled(list(chunks_of(completion(choice), include_usage=False))).completion()
    assert (got["choices"][0]["message"]["content"] or "") == text


def test_usage_comes_only_when_asked_for_and_alone() -> None:
    without, with_usage = (list(chunks_of(completion(WHOLE[0]), include_usage)) for include_usage in (False, True))
    assert len(with_usage) == len(without) + 1
    assert [is_usage_alone(orjson.loads(chunk)) for chunk in with_usage[:-1]] == [False] * (len(without) - 1) + [True]


def test_a_stream_that_was_cut_is_not_finished() -> None:
    chunks = list(chunks_of(completion(WHOLE[0]), include_usage=False))
    assert not assembled(chunks[:-2]).finished
    assert not assembled([]).finished


@given(st.integers(1, 20))
def test_events_are_found_however_the_bytes_arrive(size: int) -> None:
    raw = b": ping\n\n" + event(b'{"a": 1}') + b'event: x\r\ndata:{"b": 2}\r\n\r\ndata: {\ndata: }\n\ndata: cut'
    reader = EventReader()
    found = [data for start in range(0, len(raw), size) for data in reader.feed(raw[start : start + size])]
    assert found == [b'{"a": 1}', b'{"b": 2}', b"{\n}"]
