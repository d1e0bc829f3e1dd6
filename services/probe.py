"""A container's health check, with the standard library alone: `python -m services.probe URL`, or `... probe worker`.

Exit code 0 when the URL answers 200; for a Celery worker when it has started and its broker lets it in. Else 1 and one line.
"""

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

WORKER_PID = Path("/tmp/worker.pid")  # noqa: S108 - the container's own, and what `celery worker --pidfile` is given
_WAIT_S = 4.0


def url_missing(url: str) -> str:
    """Empty when `url` answers 200, else what it says or why it says nothing."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=_WAIT_S):
            return ""
    except urllib.error.HTTPError as error:
        return f"{error.code}: {error.read(300).decode(errors='replace')}"
    except OSError as error:
        return f"{url}: {error}"


def worker_missing(environment: Mapping[str, str], pid_file: Path = WORKER_PID) -> str:
    """Empty when the worker has written its `pid_file`, lives, and Redis at REDIS_URL answers with its password."""
    try:
        os.kill(int(pid_file.read_text(encoding="ascii")), 0)
    except (OSError, ValueError) as error:
        return f"the worker has not started: {error}"
    try:
        answer = _ping(environment.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
    except OSError as error:
        return f"redis cannot be reached: {error}"
    return "" if answer.endswith(b"+PONG\r\n") else f"redis answers {answer.decode(errors='replace').strip()}"


def _ping(url: str) -> bytes:
    address = urlsplit(url)
    words = [("AUTH", *((unquote(address.username),) if address.username else ()), unquote(address.password))] if address.password else []
    commands = [*words, ("PING",)]
    with socket.create_connection((address.hostname or "127.0.0.1", address.port or 6379), _WAIT_S) as redis:
        redis.sendall(b"".join(_command(words) for words in commands))
        answer = b""
        while answer.count(b"\r\n") < len(commands) and (got := redis.recv(1024)):
            answer += got
    return answer


def _command(words: tuple[str, ...]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def main() -> None:
    what = sys.argv[1]
    missing = worker_missing(os.environ) if what == "worker" else url_missing(what)
    if missing:
        sys.stderr.write(f"{missing}\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
