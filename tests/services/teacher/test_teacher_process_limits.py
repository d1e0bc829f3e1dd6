"""A limited upstream is used to its limit and not beyond, and the active backend is changed under load."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_openai import FakeOpenAI, TokenBucket
from running_teacher import Answered, RunningTeacher, ask_at_once, ask_in_turn, chat, paid_backend, teacher_toml, wait_until

PER_MINUTE = 1200
"""20 a second, so that the test is over in seconds."""
CALLS = 160
CALLERS = 32


@pytest.fixture
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.mark.parametrize("configured", [True, False], ids=["configured", "announced"])
async def test_a_rate_limit_is_used_and_hardly_passed(upstream: FakeOpenAI, tmp_path: Path, configured: bool) -> None:
    upstream.rate = TokenBucket(PER_MINUTE, burst=CALLERS, announces=not configured)
    upstream.latency_s = 0.05
    limit: dict[str, Any] = {"requests_per_minute": float(PER_MINUTE)} if configured else {}
    answers: dict[int, Answered] = {}
    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url, **limit))) as teacher:
        await ask_in_turn(teacher.url, [chat(f"question {number}") for number in range(CALLS)], CALLERS, answers.__setitem__)
        refused = teacher.metric('upstream_tries_total{backend="paid",outcome="429"}')
    assert [answer.status for answer in answers.values()] == [200] * CALLS
    assert refused == len(upstream.calls) - CALLS
    assert refused < 0.05 * len(upstream.calls)
    took_s = upstream.calls[-1].at - upstream.calls[0].at
    assert CALLS / took_s >= 0.95 * PER_MINUTE / 60


async def test_the_active_backend_is_changed_with_64_requests_under_way(upstream: FakeOpenAI, tmp_path: Path) -> None:
    config = teacher_toml(paid_backend(upstream.url, "first"), paid_backend(upstream.url, "second"))
    upstream.hold()
    with RunningTeacher(tmp_path, config) as teacher:
        before = [chat(f"question {number}", stream=number % 2 == 0) for number in range(64)]
        asking = asyncio.create_task(ask_at_once(teacher.url, before))
        await asyncio.to_thread(wait_until, lambda: teacher.metric("queue") + teacher.metric("upstream_in_flight") == 64, "64 requests under way")
        assert teacher.put("/v1/backends/active", name="second")["backends"][1]["active"]
        after = asyncio.create_task(ask_at_once(teacher.url, before))
        upstream.release()
        for answers, backend in ((await asking, "first"), (await after, "second")):
            assert [answer.status for answer in answers] == [200] * 64
            assert {answer.headers["x-askback-backend"] for answer in answers} == {backend}
            assert all(answer.text.endswith(f" to question {number}") for number, answer in enumerate(answers))
        teacher.restart()
        assert teacher.ask("question 0").headers["x-askback-backend"] == "second"
        assert teacher.ask("question 0", model="first").headers["x-cache"] == "hit"
        assert [backend["active"] for backend in teacher.get("/v1/backends")["backends"]] == [False, True]
