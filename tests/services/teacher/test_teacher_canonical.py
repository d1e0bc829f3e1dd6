"""The request key: what must split, what must not."""

import json
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askback.contracts.errors import InvalidInput
from services.teacher.request.asked import read_request
from services.teacher.request.canonical import request_key

BASE = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is 0 even?"}], "max_tokens": 64}


def key(fields: dict[str, Any], backend: str = "paid", model: str = "big") -> str:
    return request_key(backend, model, read_request(json.dumps(BASE | fields).encode()).meaning)


SAME = [
    ({"temperature": 0}, {"temperature": 0.0}),
    ({"temperature": 1}, {"temperature": 1.0}),
    ({"temperature": -0.0}, {"temperature": 0}),
    ({"temperature": 0, "top_p": 0.5}, {"top_p": 0.5, "temperature": 0}),
    ({"response_format": {"type": "json_schema", "strict": True}}, {"response_format": {"strict": True, "type": "json_schema"}}),
    ({"logit_bias": {"50256": -100}}, {"logit_bias": {"50256": -100.0}}),
    ({"stop": "\n"}, {"stop": ["\n"]}),
    ({"seed": None}, {}),
    ({"n": 1}, {}),
    ({"presence_penalty": 0.0, "frequency_penalty": 0}, {}),
    ({"response_format": {"type": "text"}}, {}),
    ({"stream": False}, {}),
    ({"user": "ann"}, {"user": "bob"}),
    ({"metadata": {"question_id": "q1"}}, {"metadata": {"question_id": "q2"}}),
    ({"metadata": {"sample_index": "0"}}, {}),
    ({"model": "teacher"}, {"model": "paid"}),
    ({"store": True, "service_tier": "flex", "prompt_cache_key": "a"}, {}),
    ({"stream": True, "stream_options": {"include_usage": True}}, {}),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, {"messages": [{"content": "a", "role": "user"}]}),
    ({"messages": [{"role": "user", "content": "a", "name": None}]}, {"messages": [{"role": "user", "content": "a"}]}),
]
SPLIT = [
    ({"temperature": 0}, {"temperature": 0.1}),
    ({"temperature": 0}, {}),
    ({"temperature": 1}, {}),
    ({"seed": 0}, {"seed": 1}),
    ({"seed": 0}, {}),
    ({"seed": 1}, {"seed": True}),
    ({"seed": 0}, {"seed": "0"}),
    ({"max_tokens": 64}, {"max_tokens": 65}),
    ({"stop": ["a", "b"]}, {"stop": ["b", "a"]}),
    ({"response_format": {"type": "json_object"}}, {}),
    ({"structured_outputs": {"choice": ["yes", "no"]}}, {"structured_outputs": {"choice": ["yes"]}}),
    ({"metadata": {"sample_index": "1"}}, {}),
    ({"metadata": {"sample_index": "1"}}, {"metadata": {"sample_index": "2"}}),
    ({"messages": [{"role": "user", "content": "a"}]}, {"messages": [{"role": "user", "content": "a "}]}),
    ({"messages": [{"role": "user", "content": "a"}]}, {"messages": [{"role": "system", "content": "a"}]}),
    ({"messages": [{"role": "user", "content": "a", "name": "ann"}]}, {"messages": [{"role": "user", "content": "a"}]}),
    ({"messages": [{"role": "user", "content": "é"}]}, {"messages": [{"role": "user", "content": "e\u0301"}]}),
    (
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        {"messages": [{"role": "user", "content": "b"}, {"role": "user", "content": "a"}]},
    ),
]


@pytest.mark.parametrize(("left", "right"), SAME, ids=str)
def test_must_not_split(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert key(left) == key(right)


@pytest.mark.parametrize(("left", "right"), SPLIT, ids=str)
def test_must_split(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert key(left) != key(right)


def test_backend_and_its_model_split() -> None:
    assert len({key({}), key({}, backend="other"), key({}, model="small")}) == 3


def test_the_key_is_stable_across_versions() -> None:
    """A change here throws away every cache that users have paid for."""
    text = (
        '{"fields":{"max_tokens":64,"temperature":0},"messages":[{"content":"Be brief.","role":"system"},'
        '{"content":"Is 0 even?","role":"user"}],"sample_index":0,"version":1}'
    )
    assert key({"temperature": 0.0}) == sha256(b"paid\0big\0" + text.encode()).hexdigest()


NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=8,
)


def rewritten(value: Any) -> Any:
    """The same JSON written otherwise: keys in reverse order, whole numbers as floats."""
    if isinstance(value, dict):
        return {name: rewritten(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [rewritten(item) for item in value]
    return float(value) if type(value) is int else value


@given(st.dictionaries(st.sampled_from(["seed", "tools", "response_format", "logit_bias", "extra"]), VALUES))
def test_no_way_of_writing_a_request_splits_it(fields: dict[str, Any]) -> None:
    body = BASE | fields
    other = {name: rewritten(body[name]) for name in reversed(body)}
    assert read_request(orjson.dumps(body)).meaning == read_request(json.dumps(other, indent=2).encode()).meaning


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "²", "1" * 10])
def test_a_bad_sample_index_is_named(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"metadata\.sample_index"):
        key({"metadata": {"sample_index": value}})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        key({"seed": value})


def test_numbers_beyond_64_bits_and_deep_nests_are_no_crash() -> None:
    assert key({"seed": 10**300}) != key({"seed": 10**299})
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(InvalidInput, match=r"nests too deep|JSON"):
        key({"extra": [deep] * 2, "extra2": {"a": deep}})
