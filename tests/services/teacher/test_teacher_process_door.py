"""Who is let in with what, what is logged of it, and what the caller may ask of the cache."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_openai import FakeOpenAI, Fault, Good, Refusal
from running_teacher import CALL_USD, RunningTeacher, chat, paid_backend, teacher_toml, wait_until

KEY, UPSTREAM_KEY = "sk-callers-own-key", "sk-key-for-upstream"
MIB = 2**20


@pytest.fixture(scope="module")
def guarded(server: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTeacher]:
    """A teacher that asks for KEY and takes 1 MiB."""
    config = teacher_toml(paid_backend(server.url, api_key_env="UPSTREAM_KEY", max_tries=1), {"name": "gold", "kind": "gold"})
    environment = {"ASKBACK_API_KEY": f"another,{KEY}", "ASKBACK_MAX_BODY_MIB": "1", "UPSTREAM_KEY": UPSTREAM_KEY}
    with RunningTeacher(tmp_path_factory.mktemp("guarded"), config, **environment) as running:
        yield running


def assert_openai_error(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, None)
    assert error["message"] and error["type"]


BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/recordings"])
def test_a_body_over_the_limit_is_413(upstream: FakeOpenAI, guarded: RunningTeacher, path: str, chunked: bool) -> None:
    body = json.dumps(chat("x" * MIB)).encode()
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    answer = guarded.http.post(guarded.url + path, content=pieces if chunked else body, headers=BEARER | {"content-type": "application/json"})
    assert answer.status_code == 413
    assert "ASKBACK_MAX_BODY_MIB" in answer.text
    if "chat" in path:
        assert_openai_error(answer, 413, "too_large")
    assert not upstream.calls
    assert guarded.ask("x" * (MIB - 1000), BEARER).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": []}', b'{"messages": [{"role": "user"}]}', b"\xff", b"[" * 100_000])
def test_a_malformed_body_is_422(upstream: FakeOpenAI, guarded: RunningTeacher, body: bytes) -> None:
    assert_openai_error(guarded.http.post(f"{guarded.url}/v1/chat/completions", content=body, headers=BEARER), 422, "invalid_input")
    assert not upstream.calls


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": f"Basic {KEY}"}])
def test_nobody_is_let_in_without_a_key(upstream: FakeOpenAI, guarded: RunningTeacher, prompt: str, header: dict[str, str]) -> None:
    assert_openai_error(guarded.ask(prompt, header), 401, "unauthorized")
    for path in ("/v1/usage", "/v1/budgets", "/v1/backends", "/metrics", "/openapi.json", "/docs"):
        assert guarded.http.get(guarded.url + path, headers=header).status_code == 401
    assert guarded.http.put(f"{guarded.url}/v1/budgets/total", json={"limit_usd": None}, headers=header).status_code == 401
    assert not upstream.calls


def test_the_key_lets_in_and_probes_need_none(upstream: FakeOpenAI, guarded: RunningTeacher, prompt: str) -> None:
    for key in (KEY, "another"):
        assert guarded.ask(prompt, {"authorization": f"Bearer {key}"}).status_code == 200
    assert upstream.calls[0].headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    for path in ("/healthz", "/readyz"):
        assert guarded.http.get(guarded.url + path).status_code == 200


def test_the_log_holds_request_ids_and_neither_keys_nor_prompts(upstream: FakeOpenAI, guarded: RunningTeacher) -> None:
    failures = [Refusal(400), Refusal(500), Fault.INVALID_JSON, Fault.TRUNCATED, Fault.CUT]
    outcomes: list[Any] = [one for failure in failures for one in (failure, Good("length"))]  # by turns, or the breaker would open
    for number, outcome in enumerate(outcomes):
        upstream.plan = lambda call, outcome=outcome: outcome  # type: ignore[misc]
        for stream in (False, True):
            headers = BEARER | {"x-request-id": f"id-{number}-{stream}"}
            answer = guarded.ask(f"my-secret-question Q: my-secret-question {number} {stream}", headers, stream=stream)
            assert answer.headers["x-request-id"] == upstream.calls[-1].headers["x-request-id"] == headers["x-request-id"]
    for model, status in (("gold", 404), ("my-secret-question", 404)):
        assert guarded.ask("Q: my-secret-question", BEARER, model=model).status_code == status
    lines = [json.loads(line) for line in guarded.log.splitlines()]
    assert {f"id-{number}-{stream}" for number in (0, 2, 4, 6, 8) for stream in (False, True)} <= {line["request_id"] for line in lines}
    for secret in ("my-secret-question", KEY, UPSTREAM_KEY):
        assert secret not in guarded.log


def test_a_request_without_an_id_gets_one(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    first, second, bad = teacher.ask(prompt), teacher.ask(prompt), teacher.ask(prompt, {"x-request-id": "x" * 500})
    identifiers = {answer.headers["x-request-id"] for answer in (first, second, bad)}
    assert len(identifiers) == 3
    assert all(24 <= len(identifier) <= 32 for identifier in identifiers)
    assert upstream.calls[0].headers["x-request-id"] == first.headers["x-request-id"]


def cached(answer: httpx.Response) -> str:
    assert answer.status_code == 200
    return str(answer.headers["x-cache"])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("control", ["no-cache", "max-age=0"])
def test_a_new_answer_may_be_asked_for_and_replaces_the_kept_one(
    upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str, control: str, stream: bool
) -> None:
    assert cached(teacher.ask(prompt)) == "miss"
    assert cached(teacher.ask(prompt, {"cache-control": control}, stream=stream)) == "miss"
    kept = teacher.ask(prompt)
    assert cached(kept) == "hit"
    assert kept.json()["choices"][0]["message"]["content"].startswith("answer 2.0")
    assert upstream.paid == {prompt: 2}


def test_max_age_takes_what_is_young_enough(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    assert [cached(teacher.ask(prompt, {"cache-control": "max-age=600"})) for _ in range(2)] == ["miss", "hit"]


def test_no_store_keeps_nothing(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    assert [cached(teacher.ask(prompt, {"cache-control": "no-store"})) for _ in range(2)] == ["miss", "miss"]
    assert cached(teacher.ask(prompt)) == "miss"
    assert cached(teacher.ask(prompt, {"cache-control": "no-store"})) == "hit"
    assert upstream.paid == {prompt: 3}


def test_only_if_cached_never_spends(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    only = {"cache-control": "only-if-cached"}
    for control in ("only-if-cached", "no-cache, only-if-cached", "max-age=0, only-if-cached"):
        assert_openai_error(teacher.ask(prompt, {"cache-control": control}), 504, "not_cached")
    assert not upstream.calls
    teacher.ask(prompt)
    assert cached(teacher.ask(prompt, only)) == "hit"


def test_only_if_cached_does_not_join_a_call_under_way(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    upstream.hold()
    with ThreadPoolExecutor() as pool:
        buying = pool.submit(teacher.ask, prompt)
        wait_until(lambda: upstream.calls, "the call upstream")
        assert teacher.ask(prompt, {"cache-control": "only-if-cached"}).status_code == 504
        upstream.release()
        assert cached(buying.result()) == "miss"


def test_ten_samples_of_one_question_are_ten_entries(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    def texts(outcome: str) -> list[str]:
        answers = [teacher.ask(prompt, metadata={"sample_index": str(index)}) for index in range(10)]
        assert [cached(answer) for answer in answers] == [outcome] * 10
        return [answer.json()["choices"][0]["message"]["content"] for answer in answers]

    bought = texts("miss")
    assert len(set(bought)) == 10
    assert texts("hit") == bought
    assert upstream.paid == {prompt: 10}


def test_metrics_count_requests_dollars_and_refusals(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    names = [f'requests_total{{backend="paid",cache="{cache}"}}' for cache in ("miss", "hit", "coalesced")]
    names += ["booked_usd_total", "saved_usd_total", 'upstream_tries_total{backend="paid",outcome="429"}', 'refusals_total{error="InvalidInput"}']
    before = [teacher.metric(name) for name in names]
    upstream.plan = lambda call: Refusal(429, {"retry-after-ms": "10"}) if call.number <= 2 else Good()
    upstream.hold()
    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(teacher.ask, prompt) for _ in range(3)]
        wait_until(lambda: len(upstream.calls) == 3, "a call that is let in")
        assert teacher.metric("reserved_usd") == CALL_USD
        upstream.release()
        told = Counter(cached(answer.result()) for answer in [*asking, pool.submit(teacher.ask, prompt)])
    assert teacher.ask(prompt, stream="yes").status_code == 422
    counted = [after - earlier for after, earlier in zip(map(teacher.metric, names), before, strict=True)]
    assert counted == pytest.approx([told["miss"], told["hit"], told["coalesced"], CALL_USD, told["hit"] * CALL_USD, 2, 1])
    assert (told["miss"], told.total()) == (1, 4)
    assert teacher.metric("spent_usd") == pytest.approx(teacher.get("/v1/usage")["total"]["cost_usd"])
