"""A dollar limit holds whatever happens: the real teacher before a fake upstream that counts what it was paid for."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_openai import Call, FakeOpenAI, Good, Refusal
from running_teacher import CALL_USD, RunningTeacher, ask_at_once, chat, paid_backend, teacher_toml

AFFORDABLE = 10
LIMIT_USD = AFFORDABLE * CALL_USD


@pytest.fixture
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        running.latency_s = 0.01
        yield running


def questions(first: int, count: int) -> list[dict[str, Any]]:
    """Different ones, every other one streamed."""
    return [chat(f"question {number}", stream=number % 2 == 0) for number in range(first, first + count)]


def flaky(call: Call) -> Good | Refusal:
    """Every third call fails, the first one too."""
    return Refusal(500) if call.number % 3 == 1 else Good()


def assert_within_limit(teacher: RunningTeacher, limit_usd: float) -> None:
    usage = teacher.get("/v1/usage")
    total = usage["budgets"][0]
    assert total["limit_usd"] == limit_usd
    assert usage["total"]["cost_usd"] == total["spent_usd"] <= limit_usd
    assert total["reserved_usd"] == 0.0


async def test_a_thousand_at_once_pay_for_ten_where_the_budget_is_for_ten(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.plan = flaky
    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url), budget={"total_usd": LIMIT_USD})) as teacher:
        answers = await ask_at_once(teacher.url, questions(0, 1000))
        assert Counter(answer.status for answer in answers) == {200: AFFORDABLE, 402: 1000 - AFFORDABLE}
        assert upstream.paid.total() == AFFORDABLE
        assert len(upstream.calls) > AFFORDABLE, "no call failed, so that no retry was under test"
        assert_within_limit(teacher, LIMIT_USD)
        refused = next(answer for answer in answers if answer.status == 402)
        for told in (b"0.1 dollars are spent", b"0 reserved", b"of 0.1", b"up to 0.01", b"PUT /v1/budgets/total", b"total_usd under [budget]"):
            assert told in refused.body

        teacher.restart()
        answers = await ask_at_once(teacher.url, questions(1000, 50))
        assert {answer.status for answer in answers} == {402}
        assert upstream.paid.total() == AFFORDABLE

        teacher.put("/v1/budgets/total", limit_usd=LIMIT_USD + 3 * CALL_USD)
        answers = await ask_at_once(teacher.url, questions(2000, 50))
        assert Counter(answer.status for answer in answers) == {200: 3, 402: 47}
        assert upstream.paid.total() == AFFORDABLE + 3
        teacher.restart()
        assert_within_limit(teacher, LIMIT_USD + 3 * CALL_USD)


async def test_what_is_cached_is_served_when_all_is_spent(upstream: FakeOpenAI, tmp_path: Path) -> None:
    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url), budget={"total_usd": CALL_USD})) as teacher:
        assert teacher.ask("first").status_code == 200
        assert teacher.ask("second").status_code == 402
        again = teacher.ask("first")
        assert (again.status_code, again.headers["x-cache"]) == (200, "hit")


async def test_calls_that_cost_less_than_they_may_leave_room_for_others(upstream: FakeOpenAI, tmp_path: Path) -> None:
    """Each reserves 0.05 and costs 0.01: no more than two may be out at a time, and six fit into 0.1 one after the other."""
    backend = paid_backend(upstream.url, max_completion_tokens=50)
    with RunningTeacher(tmp_path, teacher_toml(backend, budget={"total_usd": LIMIT_USD})) as teacher:
        answers = await ask_at_once(teacher.url, questions(0, 100))
        assert Counter(answer.status for answer in answers) == {200: 6, 402: 94}
        assert upstream.paid.total() == 6
        assert_within_limit(teacher, LIMIT_USD)


async def test_each_run_has_its_own_budget(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.plan = flaky
    config = teacher_toml(paid_backend(upstream.url), budget={"total_usd": 1.0, "run_usd": 3 * CALL_USD})
    with RunningTeacher(tmp_path, config) as teacher:
        for number, run in enumerate(["first", "second"]):
            answers = await ask_at_once(teacher.url, questions(number * 100, 30), {"x-askback-run": run})
            assert Counter(answer.status for answer in answers) == {200: 3, 402: 27}
        teacher.restart()
        teacher.put("/v1/budgets/runs/first", limit_usd=5 * CALL_USD)
        for number, (run, more) in enumerate([("first", 2), ("second", 0)]):
            answers = await ask_at_once(teacher.url, questions(1000 + number * 100, 30), {"x-askback-run": run})
            assert sum(answer.status == 200 for answer in answers) == more
        refused = teacher.ask("one more", {"x-askback-run": "second"})
        assert "PUT /v1/budgets/runs/second" in refused.json()["error"]["message"]
        spent = {row["name"]: (row["calls"], row["cost_usd"]) for row in teacher.get("/v1/usage")["by_run"]}
        assert spent == {"first": (5, 5 * CALL_USD), "second": (3, 3 * CALL_USD)}
        assert upstream.paid.total() == 8


async def test_a_run_has_one_name_in_header_and_address(upstream: FakeOpenAI, tmp_path: Path) -> None:
    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url))) as teacher:
        teacher.put("/v1/budgets/runs/größe", limit_usd=0.0)
        statuses = []
        for run in ("größe", "größer"):
            statuses += [answer.status for answer in await ask_at_once(teacher.url, questions(0, 2), {"x-askback-run": run})]
        assert statuses == [402, 402, 200, 200]
        not_utf8 = teacher.http.post(f"{teacher.url}/v1/chat/completions", json=chat("a question"), headers={b"x-askback-run": b"gr\xf6\xdfe"})
        assert not_utf8.status_code == 422


async def test_a_model_without_a_known_price_is_refused_until_it_is_allowed_by_name(upstream: FakeOpenAI, tmp_path: Path) -> None:
    backends = [{"name": name, "kind": "openai", "model": name, "base_url": upstream.url} for name in ("large", "small")]
    with RunningTeacher(tmp_path, teacher_toml(*backends)) as teacher:
        for _ in range(2):
            refused = teacher.ask("a question", model="large")
            assert refused.status_code == 402
            for told in ("'large'", "price_per_million_prompt_usd", "allow_unpriced"):
                assert told in refused.json()["error"]["message"]
            teacher.restart()
        assert not upstream.calls

        teacher.configure(teacher_toml(*backends, budget={"allow_unpriced": ["large"], "total_usd": 0.0}))
        teacher.restart()
        assert teacher.ask("a question", model="large").status_code == 200
        assert teacher.ask("a question", model="small").status_code == 402
        assert (teacher.get("/v1/usage")["total"]["calls"], teacher.get("/v1/usage")["total"]["cost_usd"]) == (1, 0.0)
