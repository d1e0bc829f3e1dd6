"""A machine for the doctor: a folder with configurations, commands that are small scripts, and servers on free ports."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from askback.local.doctor import Finding, Surroundings
from askback.local.settings import LocalSettings

ENGINE = """
[profiles.cpu]
max_model_len = 2048
max_num_seqs = 32
sleep_mode = false
[profiles.24gb]
max_model_len = 8192
max_num_seqs = 128
gpu_memory_utilization = 0.92
kv_cache_memory_bytes = 15_032_385_536
[profiles.bf16]
dtype = "bfloat16"
max_model_len = 8192
max_num_seqs = 128
gpu_memory_utilization = 0.5
[profiles.two]
extends = "24gb"
tensor_parallel_size = 2
"""
TEACHER = """
active = "replay"
[[backends]]
name = "replay"
kind = "replay"
[[backends]]
name = "openai"
kind = "openai"
api_key_env = "OPENAI_API_KEY"
"""


class Machine:
    """Everything under `folder`; `surroundings(NAME="value")` is what the doctor sees with these settings."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin = folder / "root", folder / "bin"
        self.first_port = free_ports(7)
        (self.root / "configs").mkdir(parents=True)
        self.bin.mkdir()
        self.write("configs/engine.toml", ENGINE)
        self.write("configs/teacher.toml", TEACHER)

    def write(self, name: str, text: str) -> Path:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")
        return self.root / name

    def command(self, name: str, script: str) -> None:
        """Put a shell script on the PATH, on which nothing else is."""
        (self.bin / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n", encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def cards(self, *lines: str) -> None:
        """Have nvidia-smi list these, as `name, driver, capability, total MiB, free MiB`."""
        self.command("nvidia-smi", "cat <<'END'\n" + "\n".join(lines) + "\nEND")

    def surroundings(
        self, urls: Mapping[str, str] | None = None, embedded_is_up: bool = False, unsaid: frozenset[str] = frozenset(), **environment: str
    ) -> Surroundings:
        """With `urls` the services are named, as the environment would."""
        settings = LocalSettings(self.root, self.root / "var", self.first_port, environment.get("BASE_MODEL", str(self.root / "model")))
        given = {"PATH": str(self.bin), **environment}
        return Surroundings(given, settings, urls or settings.urls(), urls is not None, embedded_is_up, unsaid)


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row, below those that the system gives out."""
    start = 21000 + os.getpid() % 500 * 20
    return next(first for first in range(start, 32000, count) if all(_is_free(port) for port in range(first, first + count)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


Answer = tuple[int, Any]
"""(status, JSON) of a route."""


@asynccontextmanager
async def answering(routes: Mapping[str, Answer] | Callable[[str, str], Answer], port: int = 0) -> AsyncIterator[str]:
    """The URL of a server that answers GET by path, or by a function of path and key; 404 for others."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        path = lines[0].split()[1]
        key = next((line.split()[-1] for line in lines if line.lower().startswith("authorization:")), "")
        status, content = routes(path, key) if callable(routes) else routes.get(path, (404, {}))
        body = json.dumps(content).encode()
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", port) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def brief(findings: list[Finding]) -> list[tuple[str, str]]:
    """(level, text) of each."""
    return [(finding.level.value, finding.text) for finding in findings]
