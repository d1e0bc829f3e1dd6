"""The request key: what must split, what must not."""

import json
from hashlib import sha256

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.teacher import ChatRequest
from services.teacher.canonical import request_key, sample_index

BASE = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is 0 even?"}], "max_tokens": 64}


def key(fields: dict, backend: str = "paid", model: str = "big") -> str:
    return request_key(backend, model, ChatRequest.model_validate_json(json.dumps(BASE | fields)))


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
    ({"messages": [{"role": "user", "content": "é"}]}, {"messages": [{"role": "user", "content": "e\u0301"}]}),
    (
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        {"messages": [{"role": "user", "content": "b"}, {"role": "user", "content": "a"}]},
    ),
]


@pytest.mark.parametrize(("left", "right"), SAME, ids=str)
def test_must_not_split(left: dict, right: dict) -> None:
    assert key(left) == key(right)


@pytest.mark.parametrize(("left", "right"), SPLIT, ids=str)
def test_must_split(left: dict, right: dict) -> None:
    assert key(left) != key(right)


def test_backend_and_its_model_split() -> None:
    assert len({key({}), key({}, backend="other"), key({}, model="small")}) == 3


def test_the_key_is_stable_across_versions() -> None:
    """A change here throws away every cache that users have paid for."""
    text = (
        '{"backend":"paid","fields":{"max_tokens":64,"temperature":0},"messages":[{"content":"Be brief.","role":"system"},'
        '{"content":"Is 0 even?","role":"user"}],"model":"big","sample_index":0}'
    )
    assert key({"temperature": 0.0}) == sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "²", "1" * 10])
def test_a_bad_sample_index_is_named(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"metadata\.sample_index"):
        sample_index(ChatRequest.model_validate(BASE | {"metadata": {"sample_index": value}}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="JSON cannot carry"):
        request_key("paid", "big", ChatRequest.model_validate(BASE | {"seed": value}))
