"""Every operation of the teacher's own OpenAPI description with generated requests, sound and broken: none may end in status 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fake_openai import FakeOpenAI
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import booleans, dictionaries, floats, integers, lists, none, recursive, sampled_from, text
from running_teacher import RunningTeacher, paid_backend, teacher_toml
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Ok

EXAMPLES = 60
"""Of each operation in each mode."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTeacher]:
    recorded = {"name": "replay", "kind": "replay", "fallback": ["gold"]}, {"name": "gold", "kind": "gold"}
    with FakeOpenAI() as upstream:
        config = teacher_toml(*recorded, paid_backend(upstream.url))
        with RunningTeacher(tmp_path_factory.mktemp("teacher"), config) as running:
            yield running


def name_backend(case: Case[Any], backend: str) -> None:
    """Put a known name where one is wanted, or hardly a request would come beyond its look-up; an empty one changes nothing."""
    for fields in (case.body, case.query):
        for field in ("model", "backend", "name"):
            if backend and isinstance(fields, dict) and field in fields:
                fields[field] = backend


def statuses_of(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, teacher: RunningTeacher) -> set[int]:
    """What generated requests of one operation are answered with; fails at a 500."""
    seen = set()

    @generously(EXAMPLES)
    @given(case=operation.as_strategy(generation_mode=mode), backend=sampled_from(["", "teacher", "replay", "paid"]))
    def ask(case: Case[Any], backend: str) -> None:
        name_backend(case, backend)
        status = case.call(timeout=20).status_code
        assert status != 500, f"{case.as_curl_command()}\n{teacher.log[-2000:]}"
        seen.add(status)

    try:
        ask()
    except Unsatisfiable:  # it takes nothing that could be broken
        assert mode is GenerationMode.NEGATIVE
    return seen


def generously(examples: int) -> settings:
    """The same `examples` on every run, however long they take."""
    return settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_makes_the_teacher_fail(teacher: RunningTeacher, mode: GenerationMode) -> None:
    described = schemathesis.openapi.from_url(f"{teacher.url}/openapi.json")
    seen: dict[str, set[int]] = {}
    for found in described.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        teacher.put("/v1/budgets/total", limit_usd=None)  # the limits that were generated before would end all purchases
        seen[operation.label] = statuses_of(operation, mode, teacher)
    assert seen["POST /v1/chat/completions"] >= ({200, 404, 422} if mode is GenerationMode.POSITIVE else {422})


FIELDS = """
model messages n max_tokens max_completion_tokens stream stream_options metadata stop tools tool_choice response_format temperature seed logprobs
logit_bias service_tier prediction audio store user reasoning_effort unheard_of
"""
VALUES = recursive(
    none() | booleans() | integers() | floats() | text(max_size=8),
    lambda inner: lists(inner, max_size=3) | dictionaries(text(max_size=8) | sampled_from(["role", "content", "type", "text"]), inner, max_size=3),
    max_leaves=6,
)


@generously(300)
@given(fields=dictionaries(sampled_from(FIELDS.split()), VALUES, max_size=3), backend=sampled_from(["paid", "replay"]))
def test_no_value_of_any_field_makes_the_teacher_fail(teacher: RunningTeacher, fields: dict[str, Any], backend: str) -> None:
    """Also of the fields that the description leaves to OpenAI's."""
    body = json.dumps({"model": backend, "messages": [{"role": "user", "content": "Q: why?"}]} | fields)
    answer = teacher.http.post(f"{teacher.url}/v1/chat/completions", content=body)
    assert answer.status_code != 500, f"{body}\n{teacher.log[-2000:]}"
    assert answer.status_code == 200 or answer.json()["error"]["message"]
