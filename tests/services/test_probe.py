import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.probe import url_missing, worker_missing
from services.with_secrets import with_secrets


@asynccontextmanager
async def answering(answers: dict[bytes, bytes]) -> AsyncIterator[int]:
    """Port of a server that sends the answer of the first of `answers` that it has read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = b""
        while not any(asked in got for asked in answers) and (more := await reader.read(1024)):
            got += more
        writer.write(next(answer for asked, answer in answers.items() if asked in got))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def probed(port: int) -> str:
    return await asyncio.to_thread(url_missing, f"http://127.0.0.1:{port}/readyz")


async def test_a_url_is_there_when_it_answers_200() -> None:
    async with answering({b"\r\n\r\n": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"}) as port:
        assert await probed(port) == ""
    assert "refused" in await probed(port)


async def test_a_url_that_is_not_ready_says_why() -> None:
    async with answering({b"\r\n\r\n": b"HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\nno engine!"}) as port:
        assert await probed(port) == "503: no engine!"


async def test_a_worker_needs_its_process_and_its_broker(tmp_path: Path) -> None:
    pid = tmp_path / "worker.pid"
    assert "has not started" in worker_missing({}, pid)
    pid.write_text(f"{os.getpid()}\n")
    async with answering({b"AUTH\r\n$3\r\np w\r\n*1\r\n$4\r\nPING": b"+OK\r\n+PONG\r\n"}) as port:
        assert await asyncio.to_thread(worker_missing, {"REDIS_URL": f"redis://:p%20w@127.0.0.1:{port}/0"}, pid) == ""
    async with answering({b"PING\r\n": b"-NOAUTH Authentication required.\r\n"}) as port:
        assert "NOAUTH" in await asyncio.to_thread(worker_missing, {"REDIS_URL": f"redis://:@127.0.0.1:{port}/0"}, pid)
    assert "cannot be reached" in worker_missing({"REDIS_URL": f"redis://127.0.0.1:{port}/0"}, pid)


def test_a_dead_worker_is_not_there(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    pid = tmp_path / "worker.pid"
    pid.write_text(str(dead.pid))
    assert "has not started" in worker_missing({}, pid)


def test_secrets_fill_what_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "openai_api_key").write_text("sk-file\n")
    (tmp_path / "askback_api_key").write_text("from-file")
    (tmp_path / "hf_token").write_text("hf-file")
    given = with_secrets({"ASKBACK_API_KEY": "set", "HF_TOKEN": "", "PORT": "1"}, tmp_path)
    assert given == {"OPENAI_API_KEY": "sk-file", "ASKBACK_API_KEY": "set", "HF_TOKEN": "hf-file", "PORT": "1"}
    assert with_secrets({"PORT": "1"}, tmp_path / "none") == {"PORT": "1"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_secret_that_may_not_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0)
    with pytest.raises(OSError, match="key"):
        with_secrets({}, tmp_path)
