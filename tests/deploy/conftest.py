"""A Redis of the tests' own."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from askback.local.settings import redis_server


@pytest.fixture
def redis_port(tmp_path: Path, free_port: int) -> Iterator[int]:
    """Port of a Redis whose password is `secret`; the stack's has one too."""
    command = [redis_server(), "--port", str(free_port), "--bind", "127.0.0.1", "--requirepass", "secret", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        Redis(port=free_port, password="secret", retry=Retry(ConstantBackoff(0.05), 200)).ping()
        yield free_port
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def free_port() -> int:
    return _free_port()


@pytest.fixture
def second_port() -> int:
    """Another one than `free_port`, for what runs beside Redis."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
