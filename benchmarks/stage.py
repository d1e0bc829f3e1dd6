"""The processes and the folder of one benchmark run. Whatever happens, none of them outlives it."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process_table
from benchmarks.command_line import BenchmarkFailed, ToolMissing, tool
from benchmarks.loopback import fetch

ROOT = Path(__file__).parents[1]
_STOP_S = 15.0


@dataclass(frozen=True)
class Process:
    """A started process, with all that it starts in turn."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises BenchmarkFailed with the log's end when the process is gone."""
        if self.popen.poll() is not None:
            tail = " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
            raise BenchmarkFailed(f"{self.name} ended with exit code {self.popen.returncode}: {tail[-600:]}")

    def wait_ready(self, url: str, timeout_s: float) -> None:
        """Return as soon as `url` answers 200; raises BenchmarkFailed when the process ends or `timeout_s` pass first."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            with contextlib.suppress(OSError):
                fetch(url)
                return
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{self.name} was not ready within {timeout_s:g} s: {url} did not answer 200")
            time.sleep(0.005)

    def cpu_s(self) -> float:
        """CPU seconds used so far by the process, its threads and its children."""
        return process_table.cpu_s(self.popen.pid)

    def rss_mib(self) -> float:
        """Resident memory of the process and its children, in MiB."""
        return process_table.rss_mib(self.popen.pid)

    def kill(self) -> None:
        """End it at once, as `kill -9` does, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self) -> None:
        """End it in good order, or by force after some seconds; a process that is gone is left alone."""
        if self.popen.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(_STOP_S)
        self.kill()  # also what it started and left behind

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


class Stage:
    """Starts processes. The proxies get one core; the load, the upstream and this script another."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes logs, settings and databases. Raises ToolMissing without a second core or taskset."""
        self.folder = folder
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise ToolMissing("two cores are needed, one for the proxy and one for the load; this process may use one")
        self._proxy_core, self._load_core = cores[:2]
        self._taskset = tool("taskset")
        os.sched_setaffinity(0, {self._load_core})
        self._started: list[Process] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None, proxy: bool = True) -> Process:
        """Start `command` in the repository's root, on the proxies' core or else on the core of the load."""
        core = self._proxy_core if proxy else self._load_core
        log = self.folder / f"{name}-{len(self._started)}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(  # noqa: S603 - the commands are this folder's own
                [self._taskset, "-c", str(core), *command],
                cwd=ROOT,
                env={**_without_proxies(os.environ), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that the whole group can be ended, and Ctrl-C reaches this script alone
            )
            process = Process(name, popen, log)
            self._started.append(process)
        return process

    def stop(self) -> None:
        """Stop everything, last started first."""
        while self._started:
            self._started.pop().stop()


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """A stage in a temporary folder (TMPDIR decides where), torn down on success, failure, Ctrl-C and SIGTERM."""
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    affinity = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="askback-benchmark-") as folder:
        stage = Stage(Path(folder))
        try:
            yield stage
        finally:
            stage.stop()
            os.sched_setaffinity(0, affinity)
            for number, handler in previous.items():
                signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not cut the clean-up short
    raise KeyboardInterrupt


def _without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The upstreams stand on the loopback, where a company's HTTP proxy has no business."""
    return {name: value for name, value in environment.items() if not name.lower().endswith("_proxy")}
