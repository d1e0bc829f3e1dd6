"""What the doctor says of ports, Redis and services."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from doctor_stage import Answer, Machine, answering, brief, free_ports

from askback import __version__
from askback.local.doctor import Level, Surroundings, network, services
from askback.local.settings import redis_server

NAMES = ("teacher", "student", "retriever", "trainer", "evaluator")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def alive(name: str, version: str = __version__) -> Answer:
    return 200, {"status": "ok", "service": name, "version": version}


async def test_free_ports_are_well_and_strangers_on_them_are_named(machine: Machine) -> None:
    first = machine.first_port
    assert brief(await network.ports(machine.surroundings())) == [("ok", f"{first} to {first + 6} are free")]
    with socket.create_server(("127.0.0.1", first + 6)):
        async with answering({"/healthz": (200, {"service": "blog"})}, first + 2):
            (found,) = await network.ports(machine.surroundings())
    assert (found.level, found.text) == (Level.FAIL, f"taken by another program: {first + 2} (student), {first + 6} (redis)")
    assert "ASKBACK_PORT" in found.remedy


async def test_another_stack_on_the_ports_is_no_stranger(machine: Machine) -> None:
    first = machine.first_port
    with socket.create_server(("127.0.0.1", first)):
        async with answering({"/healthz": alive("teacher")}, first + 1):
            (found,) = await network.ports(machine.surroundings())
    assert brief([found]) == [("ok", f"another askback stack, such as compose's, has {first}, {first + 1}")]
    assert (await network.ports(machine.surroundings(urls={"teacher": "http://t"})))[0].level is Level.OK
    assert "which runs" in (await network.ports(machine.surroundings(embedded_is_up=True)))[0].text


@contextmanager
def real_redis(*options: str) -> Iterator[str]:
    """The address of a redis-server on a free port."""
    port = free_ports(1)
    process = subprocess.Popen([redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def redis_says(machine: Machine, url: str) -> tuple[str, str]:
    (found,) = brief(await network.redis(machine.surroundings(REDIS_URL=url)))
    return found


async def test_redis_is_asked_whether_it_keeps_what_it_is_told(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with real_redis("--appendonly", "yes", "--dir", str(folder), "--requirepass", "p@ss word") as address:
        level, text = await redis_says(machine, f"redis://:p%40ss%20word@{address}/0")
        assert (level, text.endswith("answers and keeps an append-only file")) == ("ok", True)
        level, text = await redis_says(machine, f"redis://{address}/0")
        assert level == "fail" and "NOAUTH" in text
        level, text = await redis_says(machine, f"redis://:wrong-one@{address}/0")
        assert level == "fail" and "WRONGPASS" in text and "wrong-one" not in text
    level, text = await redis_says(machine, f"redis://{address}/0")
    assert level == "fail" and "cannot be reached" in text


async def test_a_redis_that_forgets_is_warned_of(machine: Machine, tmp_path: Path) -> None:
    with real_redis("--dir", str(tmp_path)) as address:
        assert (await redis_says(machine, f"redis://{address}/0"))[0] == "warn"
    with real_redis("--dir", str(tmp_path), "--appendonly", "yes", "--maxmemory-policy", "allkeys-lru") as address:
        level, text = await redis_says(machine, f"redis://{address}/0")
    assert level == "warn" and "allkeys-lru" in text
    assert (await network.redis(machine.surroundings()))[0].level is Level.OK
    assert (await redis_says(machine, "unix:///tmp/redis.sock"))[0] == "warn"


async def look(machine: Machine, teacher: dict[str, Answer], key: str = "", wanted_key: str = "") -> list[tuple[str, str]]:
    """What is said of a teacher with these routes and key."""

    def answer(path: str, given: str) -> Answer:
        if wanted_key and path not in ("/healthz", "/readyz") and given != wanted_key:
            return 401, {}
        return {"/metrics": (200, "m"), "/readyz": (200, {"status": "ready"}), "/healthz": alive("teacher"), **teacher}.get(path, (404, {}))

    async with answering(answer) as url:
        found = await services.services(machine.surroundings(urls={"teacher": url}, ASKBACK_API_KEY=key))
    return [(level, text.replace(url, "URL")) for level, text in brief(found)]


async def test_a_service_that_is_well_takes_one_line(machine: Machine) -> None:
    assert await look(machine, {}) == [("ok", f"teacher {__version__} at URL is ready")]
    assert await look(machine, {}, key="one,two", wanted_key="one") == [("ok", f"teacher {__version__} at URL is ready")]


@pytest.mark.parametrize(
    ("routes", "level", "text"),
    [
        ({"/readyz": (503, {"status": "redis cannot be reached"})}, "fail", "teacher at URL is not ready: redis cannot be reached"),
        ({"/readyz": (503, {"status": "the engine is asleep while job 7 trains"})}, "warn", "teacher: the engine is asleep while job 7 trains"),
        ({"/healthz": alive("teacher", "0.0.9")}, "warn", f"teacher is of version 0.0.9, this command of {__version__}"),
        ({"/healthz": (200, {"status": "ok", "service": "teacher"})}, "warn", "teacher does not tell its version"),
        ({"/healthz": alive("student")}, "fail", "at URL answers 'student' in place of the teacher"),
        ({"/healthz": (200, "hello")}, "fail", "at URL answers 'something' in place of the teacher"),
        (
            {
                "/v1/backends": (
                    200,
                    {"backends": [{"name": "o", "kind": "openai", "model": "m", "fallback": [], "active": True, "missing": "KEY is not set"}]},
                )
            },
            "fail",
            "teacher: backend o is active, and KEY is not set",
        ),
    ],
)
async def test_what_a_service_lacks_is_told(machine: Machine, routes: dict[str, Answer], level: str, text: str) -> None:
    assert (level, text) in await look(machine, routes)


async def test_keys_that_do_not_agree_are_told(machine: Machine) -> None:
    assert ("fail", "teacher at URL wants another ASKBACK_API_KEY") in await look(machine, {}, key="two", wanted_key="one")
    assert ("fail", "teacher at URL wants an ASKBACK_API_KEY, and none is set here") in await look(machine, {}, wanted_key="one")
    assert ("warn", "teacher at URL asks for no key, though one is set here") in await look(machine, {}, key="one")


async def test_a_fault_of_the_services_own_is_ours(machine: Machine) -> None:
    async with answering({"/healthz": (500, {})}) as url:
        (found,) = await services.services(machine.surroundings(urls={"teacher": url}))
    assert (found.level, found.ours) == (Level.FAIL, True)


async def test_a_named_service_that_is_away_is_told_at_once(machine: Machine) -> None:
    began = time.monotonic()
    (found,) = await services.services(machine.surroundings(urls={"teacher": f"http://127.0.0.1:{machine.first_port}"}))
    assert (found.level, found.remedy) == (Level.FAIL, "start it, or correct TEACHER_URL") and time.monotonic() - began < 2


async def test_no_stack_at_all_is_no_fault_and_half_a_one_is(machine: Machine) -> None:
    (found,) = await services.services(machine.surroundings())
    assert found.level is Level.OK and found.text.startswith("none runs here")
    routes = {"/readyz": (200, {"status": "ready"}), "/metrics": (200, "m")}
    async with AsyncExitStack() as stack:
        for offset, name in enumerate(NAMES[:-1], 1):
            await stack.enter_async_context(answering({**routes, "/healthz": alive(name)}, machine.first_port + offset))
        found_all = await services.services(machine.surroundings())
    assert [finding.level.value for finding in found_all] == ["ok"] * 4 + ["fail"]
    assert "evaluator" in found_all[-1].text and "docker compose logs evaluator" in found_all[-1].remedy


async def test_the_embedded_stacks_engine_is_looked_at_too(machine: Machine) -> None:
    async with answering({"/health": (200, {})}, machine.first_port):
        found = await services.services(machine.surroundings(embedded_is_up=True))
    assert brief(found)[0] == ("ok", f"engine at http://127.0.0.1:{machine.first_port} answers")
    assert [finding.level.value for finding in found[1:]] == ["fail"] * 5 and "log/teacher.log" in found[1].remedy


def test_surroundings_read_dotenv_beneath_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("# a remark\nENGINE_PROFILE=24gb\nexport ASKBACK_PORT='9000'\nTEACHER_URL=\nLOG_LEVEL = DEBUG\nnonsense\n")
    found = Surroundings.of({"LOG_LEVEL": "INFO"})
    assert (found.profile_name, found.settings.first_port, found.environment["LOG_LEVEL"]) == ("24gb", 9000, "INFO")
    assert found.unsaid == {"ENGINE_PROFILE", "ASKBACK_PORT", "TEACHER_URL"}
    assert not found.elsewhere and found.urls["teacher"] == "http://127.0.0.1:9001"
    published = Surroundings.of({"TEACHER_PORT": "8101"}).urls
    assert (published["teacher"], published["student"]) == ("http://127.0.0.1:8101", "http://127.0.0.1:9002")
    named = Surroundings.of({"STUDENT_URL": "http://box:8002"})
    assert named.elsewhere and named.urls["student"] == "http://box:8002" and "engine" not in named.urls


async def test_a_service_that_accepts_and_says_nothing_is_given_up(machine: Machine) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(1.9):
            (found,) = await services.services(machine.surroundings(urls={"teacher": url}))
    assert found.level is Level.FAIL and "does not answer" in found.text
