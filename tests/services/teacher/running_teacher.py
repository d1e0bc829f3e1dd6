"""The real teacher as a process of its own, and ways to ask it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import httpx

ROOT = Path(__file__).parents[3]
CALL_USD = 0.01
"""What a call costs at the price that `paid_backend` sets, and the most that it can cost."""


def paid_backend(url: str, name: str = "paid", **fields: Any) -> dict[str, Any]:
    """An openai backend; its model is its name. Every call costs CALL_USD."""
    price = {"price_per_million_prompt_usd": 0.0, "price_per_million_completion_usd": 1000.0, "max_completion_tokens": 10}
    return {"name": name, "kind": "openai", "model": name, "base_url": url} | price | fields


def teacher_toml(*backends: Mapping[str, Any], budget: Mapping[str, Any] | None = None, **settings: Any) -> str:
    """A backends file; the first backend is active."""
    lines = _toml({"active": backends[0]["name"], **settings})
    lines += ["[budget]", *_toml(budget or {})]
    for backend in backends:
        lines += ["[[backends]]", *_toml(backend)]
    return "\n".join(lines)


def _toml(fields: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in fields.items()]  # texts, numbers and lists look alike in both


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Return once `condition()` is true; fail with `what` was waited for."""
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends, f"waited {timeout_s:g} s for: {what}"
        time.sleep(0.005)


def chat(text: str, **fields: Any) -> dict[str, Any]:
    """A chat request's body."""
    return {"model": "teacher", "messages": [{"role": "user", "content": text}], **fields}


class RunningTeacher:
    """`with RunningTeacher(folder, config) as teacher:` runs one until the block ends. A restart may get another port."""

    def __init__(self, folder: Path, config: str, **environment: str) -> None:
        self._folder, self._environment = folder, environment
        self.url = ""
        self.http = httpx.Client(timeout=60)
        self.configure(config)

    def configure(self, config: str) -> None:
        """Write another backends file; it is read at the next start."""
        (self._folder / "teacher.toml").write_text(config)

    def __enter__(self) -> "RunningTeacher":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self.http.close()
        if error is not None:
            sys.stderr.write(self.log)  # pytest shows it beside the failure

    def start(self) -> None:
        """Start it and wait until it serves."""
        paths = {"TEACHER_CONFIG": str(self._folder / "teacher.toml"), "TEACHER_DATABASE": str(self._folder / "teacher.sqlite")}
        environment = {"PATH": os.environ["PATH"], "PORT": "0", **paths, **self._environment}
        already = len(self.log)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "services.teacher"], cwd=ROOT, env=environment, stderr=log)

        def serves() -> bool:
            assert self._process.poll() is None, f"the teacher ended at its start:\n{self.log[already:]}"
            return "Uvicorn running on" in self.log[already:]

        wait_until(serves, "the teacher's start", 60)
        found = re.search(r"Uvicorn running on (http://127\.0\.0\.1:\d+)", self.log[already:])
        assert found
        self.url = found[1]

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """End it as a process manager does."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def _log_file(self) -> Path:
        return self._folder / "teacher.log"

    @property
    def log(self) -> str:
        """All that it wrote to stderr."""
        return self._log_file.read_text() if self._log_file.exists() else ""

    def ask(self, text: str, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        """One chat completion, without a retry."""
        return self.http.post(f"{self.url}/v1/chat/completions", json=chat(text, **fields), headers=headers)

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return self.http.get(self.url + path).raise_for_status().json()

    def put(self, path: str, **body: Any) -> Any:
        return self.http.put(self.url + path, json=body).raise_for_status().json()

    def metric(self, name: str) -> float:
        """The sum of all samples of /metrics that begin with `askback_teacher_` and `name`."""
        lines = self.http.get(f"{self.url}/metrics").raise_for_status().text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"askback_teacher_{name}"))


@dataclass(frozen=True)
class Answered:
    """A response, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def cache(self) -> str:
        return self.headers["x-cache"]

    @property
    def text(self) -> str:
        """The first choice's text, of a stream as well."""
        if "event-stream" not in self.headers["content-type"]:
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        events = events_of(self.body)
        assert events[-1] == "[DONE]", f"the stream ends with {events[-1]}"
        chunks = [json.loads(event) for event in events[:-1]]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


def events_of(stream: bytes) -> list[str]:
    """The data of the server-sent events of `stream`."""
    return [event.removeprefix("data: ") for event in stream.decode().split("\n\n") if event]


async def ask_at_once(url: str, bodies: Iterable[Mapping[str, Any]], headers: Mapping[str, str] | None = None) -> list[Answered]:
    """Send all `bodies` at the same time; answers in their order."""
    async with session() as one:
        return await asyncio.gather(*[send(one, url, body, headers) for body in bodies])


async def ask_in_turn(url: str, bodies: Sequence[Mapping[str, Any]], callers: int, seen: Callable[[int, Answered], object]) -> None:
    """Send `bodies` by `callers` at a time and show each answer with its number as it comes. Ends when the server is gone."""
    numbers = iter(range(len(bodies)))

    async def call(one: aiohttp.ClientSession) -> None:
        for number in numbers:
            seen(number, await send(one, url, bodies[number]))

    async with session() as one:
        outcomes = await asyncio.gather(*[call(one) for _ in range(callers)], return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, aiohttp.ClientError):
            raise outcome


def session() -> aiohttp.ClientSession:
    """A client of any number of connections."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60))


async def send(one: aiohttp.ClientSession, url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answered:
    """One chat completion, without a retry."""
    async with one.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
        return Answered(response.status, {name.lower(): value for name, value in response.headers.items()}, await response.read())
