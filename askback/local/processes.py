"""Start, watch and stop the stack's processes. The only file that talks to supervisor, which keeps them running."""

import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from askback.contracts.errors import InvalidInput, ServiceError
from askback.local.settings import LocalSettings

_CONF = Path(__file__).with_name("supervisord.conf")
_ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception): .+")
_LAST_LINES = 150  # about one start of the engine
_STOP_S = 60.0  # processes get 10 s (the teacher 20 s, to keep answers under way) before they are killed, in turn


class Processes:
    """The stack's processes under one supervisord."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings

    def running(self) -> bool:
        """Whether our supervisord is alive."""
        pid = self._pid()
        return pid is not None and Path(f"/proc/{pid}").exists() and self._settings.socket.exists()

    def start(self) -> None:
        """Start supervisord in the background; it starts the rest."""
        if find_spec("supervisor") is None:
            raise InvalidInput("the embedded stack needs the packages of askback[local]: run `make install`")
        for folder in ("log", "redis", "models", "jobs", "index"):
            (self._settings.home / folder).mkdir(parents=True, exist_ok=True)
        (self._settings.root / "runs").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(_CONF)]
        done = subprocess.run(command, env=self._settings.environment(), capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ServiceError(f"supervisord did not start: {(done.stderr or done.stdout).strip().splitlines()[-1]}")

    def states(self) -> dict[str, tuple[str, int]]:
        """(state in supervisor's words, such as RUNNING or FATAL, process id) by name; empty while supervisord cannot be asked."""
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport("", "", serverurl=f"unix://{self._settings.socket}")
        proxy: Any = ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return {process["name"]: (process["statename"], process["pid"]) for process in proxy.supervisor.getAllProcessInfo()}
        except (OSError, Fault):
            return {}
        finally:
            transport.close()

    def trainer_workers(self) -> int:
        """Trainer workers of the stack that runs; 0 while supervisord cannot be asked."""
        return sum(name.startswith("trainer-worker") for name in self.states())

    def complaint(self, name: str) -> str:
        """What a dead process's log says of it: the first error in its end, else its last line that says something.

        The first, because what comes after it in an engine's log only tells that something failed before.
        """
        path = self._settings.home / "log" / f"{name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:] if path.exists() else []
        errors = (found[0] for line in lines if (found := _ERROR.search(line)))
        return next(errors, None) or next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")

    def stop(self) -> None:
        """Stop everything and wait until it is gone; stopping a stopped stack changes nothing."""
        pid = self._pid()
        if pid is None or not self.running():
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > deadline:
                raise ServiceError(f"supervisord (process {pid}) did not stop within {_STOP_S:.0f} s; see {self._settings.home}/log/supervisord.log")
            time.sleep(0.1)

    def _pid(self) -> int | None:
        path = self._settings.home / "supervisord.pid"
        text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        return int(text) if text.isdigit() else None
