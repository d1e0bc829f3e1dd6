"""kill -9 of the client and of the teacher itself: nothing that arrived is paid for again, and no dollar is lost from the books."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from fake_openai import FakeOpenAI
from running_teacher import CALL_USD, Answered, RunningTeacher, ask_in_turn, chat, paid_backend, teacher_toml, wait_until

CLIENT = Path(__file__).with_name("asking_client.py")
QUESTIONS = 400
KILLS = 20
CALLERS = 32


@pytest.fixture
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        running.latency_s = 0.05
        yield running


def client(teacher: RunningTeacher) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, CLIENT, teacher.url, str(QUESTIONS)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_a_client_that_is_killed_twenty_times_pays_for_nothing_twice(upstream: FakeOpenAI, tmp_path: Path) -> None:
    random = Random(7)
    moments = sorted(random.sample(range(1, QUESTIONS - 4 * CALLERS), KILLS))
    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url))) as teacher:
        for calls in moments:
            asking = client(teacher)
            wait_until(lambda calls=calls: len(upstream.calls) >= calls, f"{calls} calls upstream")  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.05))
            asking.kill()
            asking.communicate()
            assert asking.returncode == -9, "the client was done before it was killed"
        assert len(upstream.calls) < QUESTIONS
        lines = client(teacher).communicate(timeout=60)[0].splitlines()
        answers = {int(number): (status, cache, text) for number, status, cache, text in (line.split("\t") for line in lines)}
        assert sorted(answers) == list(range(QUESTIONS))
        assert {status for status, _, _ in answers.values()} == {"200"}
        assert all(text.endswith(f" to question {number}") for number, (_, _, text) in answers.items())
        assert {"hit", "miss"} <= {cache for _, cache, _ in answers.values()}
        assert upstream.paid == {f"question {number}": 1 for number in range(QUESTIONS)}
        assert teacher.get("/v1/usage")["total"]["calls"] == QUESTIONS


async def test_a_teacher_that_is_killed_pays_again_only_for_what_did_not_arrive(upstream: FakeOpenAI, tmp_path: Path) -> None:
    random = Random(7)
    bodies = [chat(f"question {number}", stream=number % 2 == 0) for number in range(QUESTIONS)]
    texts: dict[int, str] = {}
    paid: dict[int, int] = {}

    def seen(number: int, answer: Answered) -> None:
        assert texts.setdefault(number, answer.text) == answer.text
        paid.setdefault(number, upstream.paid[f"question {number}"])
        if len(texts) == enough:
            teacher.kill()

    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url))) as teacher:
        for _ in range(3):
            enough = len(texts) + random.randint(10, 40)
            await ask_in_turn(teacher.url, bodies, CALLERS, seen)
            assert len(texts) < len(bodies), "it was killed too late"
            teacher.start()
            assert_books_hold(teacher, upstream)
        enough = 0
        await ask_in_turn(teacher.url, bodies, CALLERS, seen)
        assert len(texts) == len(bodies)
        assert paid == {number: upstream.paid[f"question {number}"] for number in range(len(bodies))}
        assert_books_hold(teacher, upstream)
        assert teacher.get("/v1/usage")["total"]["estimated_usd"] > 0, "no call was under way when it was killed"


def assert_books_hold(teacher: RunningTeacher, upstream: FakeOpenAI) -> None:
    """Every call that the upstream was paid for is in the ledger. So is one that was about to go out when the teacher was killed."""
    total = teacher.get("/v1/usage")["total"]
    lost = round(total["estimated_usd"] / CALL_USD)
    assert total["calls"] - lost <= upstream.paid.total() <= total["calls"]
    assert lost <= 3 * CALLERS
    assert total["cost_usd"] == pytest.approx(total["calls"] * CALL_USD)
    assert teacher.get("/v1/budgets")[0]["reserved_usd"] == 0.0


async def test_what_is_cached_outlives_a_kill(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.latency_s = 0.0
    count = 2000
    bodies = [chat(f"question {number}", stream=number % 2 == 0) for number in range(count)]
    turned = [body | {"stream": not body["stream"]} for body in bodies]
    texts: dict[int, str] = {}
    with RunningTeacher(tmp_path, teacher_toml(paid_backend(upstream.url))) as teacher:
        await ask_in_turn(teacher.url, bodies, CALLERS, lambda number, answer: texts.setdefault(number, answer.text))
        assert len(texts) == len(upstream.calls) == count
        teacher.kill()
        teacher.start()
        for repeated in (bodies, turned):
            again: dict[int, Answered] = {}
            await ask_in_turn(teacher.url, repeated, CALLERS, again.__setitem__)
            assert {answer.cache for answer in again.values()} == {"hit"}
            assert {number: answer.text for number, answer in again.items()} == texts
        assert len(upstream.calls) == count
