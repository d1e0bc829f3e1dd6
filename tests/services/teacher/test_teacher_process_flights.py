"""One call for many who ask the same at once: the real teacher before a fake upstream."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from fake_openai import FakeOpenAI, Good, Refusal
from running_teacher import Answered, RunningTeacher, ask_at_once, chat, send, session, wait_until

CALLERS = 50


def mixed(text: str, count: int, first_streams: bool = False) -> list[dict[str, object]]:
    """`count` equal requests, every other one streamed."""
    return [chat(text, stream=number % 2 != first_streams) for number in range(count)]


def assert_all_equal(answers: Sequence[Answered], count: int) -> None:
    assert [answer.status for answer in answers] == [200] * count
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("first_streams", [False, True], ids=["first plain", "first streamed"])
async def test_fifty_equal_requests_at_once_make_one_call(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str, first_streams: bool) -> None:
    upstream.hold()
    asking = asyncio.create_task(ask_at_once(teacher.url, mixed(prompt, CALLERS, first_streams)))
    await asyncio.to_thread(wait_until, lambda: upstream.calls, "the call upstream")
    await asyncio.sleep(0.3)  # so that most of them join, though all would do as well if they came late
    upstream.release()
    answers = await asking
    assert_all_equal(answers, CALLERS)
    assert len(upstream.calls) == 1
    came = Counter(answer.cache for answer in answers)
    assert came["miss"] == 1
    assert came["coalesced"] > 0
    assert came["miss"] + came["coalesced"] + came["hit"] == CALLERS


@pytest.mark.parametrize("first_streams", [False, True], ids=["first plain", "first streamed"])
async def test_the_first_caller_may_hang_up(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str, first_streams: bool) -> None:
    upstream.hold()
    async with session() as one:
        first = asyncio.create_task(send(one, teacher.url, chat(prompt, stream=first_streams)))
        await asyncio.to_thread(wait_until, lambda: upstream.calls, "the call upstream")
        first.cancel()
    others = asyncio.create_task(ask_at_once(teacher.url, mixed(prompt, CALLERS - 1)))
    await asyncio.sleep(0.1)
    upstream.release()
    assert_all_equal(await others, CALLERS - 1)
    assert len(upstream.calls) == 1


async def test_the_first_caller_may_hang_up_in_the_middle_of_its_stream(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    upstream.plan = lambda call: Good(chunk_gap_s=0.1)
    async with session() as one:
        response = await one.post(f"{teacher.url}/v1/chat/completions", json=chat(prompt, stream=True))
        assert (await response.content.readline()).startswith(b"data: {")
        response.close()
    assert_all_equal(await ask_at_once(teacher.url, mixed(prompt, CALLERS - 1)), CALLERS - 1)
    assert len(upstream.calls) == 1


async def test_what_was_paid_for_is_kept_when_all_callers_hang_up(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    upstream.hold()
    async with session() as one:
        asking = [asyncio.create_task(send(one, teacher.url, body)) for body in mixed(prompt, 5)]
        await asyncio.to_thread(wait_until, lambda: upstream.calls, "the call upstream")
        for caller in asking:
            caller.cancel()
    upstream.release()
    kept = {"cache-control": "only-if-cached"}
    await asyncio.to_thread(wait_until, lambda: teacher.ask(prompt, kept).status_code == 200, "the answer in the cache")
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("first_streams", [False, True], ids=["first plain", "first streamed"])
async def test_a_call_that_fails_once_is_made_again_for_all(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str, first_streams: bool) -> None:
    upstream.plan = lambda call: Refusal(500) if call.number == 1 else Good()
    assert_all_equal(await ask_at_once(teacher.url, mixed(prompt, CALLERS, first_streams)), CALLERS)
    assert len(upstream.calls) == 2
    assert upstream.paid == {prompt: 1}


async def test_all_hear_of_a_failure_and_the_next_one_calls_anew(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    upstream.plan = lambda call: Refusal(400)
    upstream.latency_s = 0.3
    answers = await ask_at_once(teacher.url, mixed(prompt, CALLERS))
    assert {answer.status for answer in answers} == {502}
    upstream.plan = lambda call: Good()
    again = await asyncio.to_thread(teacher.ask, prompt)
    assert (again.status_code, again.headers["x-cache"]) == (200, "miss")


async def test_different_requests_are_different_calls(upstream: FakeOpenAI, teacher: RunningTeacher, prompt: str) -> None:
    upstream.latency_s = 0.05
    bodies = [chat(prompt, temperature=temperature / 10) for temperature in range(5)] + [chat(prompt, seed=1), chat(prompt + " ")]
    answers = await ask_at_once(teacher.url, bodies)
    assert [answer.cache for answer in answers] == ["miss"] * 7
    assert len(upstream.calls) == 7
