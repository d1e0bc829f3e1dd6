"""`askback up` and `askback down`: the whole stack on this machine, without Docker and without a GPU."""

import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from askback.contracts.errors import InvalidInput, ServiceError
from askback.local.ownership import claimed, forget
from askback.local.processes import Processes
from askback.local.settings import LocalSettings
from askback.local.trainer_workers import doubts
from askback.loop.progress import Reporter

_START_S = 300.0  # the engine takes a minute on two quiet cores
_DEAD = {"FATAL", "EXITED", "BACKOFF"}
_LIVES = 2  # supervisord starts a process again at once, so one that dies late is never seen dead


class Stack:
    """The embedded stack."""

    def __init__(self, settings: LocalSettings, reporter: Reporter) -> None:
        self._settings = settings
        self._processes = Processes(settings)
        self._reporter = reporter

    def running(self) -> bool:
        return self._processes.running()

    def up(self) -> None:
        """Start everything and wait until every service is ready; raises when a port is taken or a process dies."""
        forget(self._mark)
        self._start()

    def _start(self) -> None:
        if not self.running():
            for doubt in doubts(self._settings.environment()):
                self._reporter.say(f"warning: {doubt.text}; {doubt.remedy}")
            self._check_ports()
            self._prepare_model()
            self._processes.start()
        self._wait_ready()

    def down(self) -> None:
        """Stop everything; a stopped stack stays as it is."""
        self._processes.stop()
        forget(self._mark)

    @property
    def _mark(self) -> Path:
        return self._settings.home / "stack-of-a-run"

    @contextmanager
    def started(self) -> Iterator[None]:
        """The stack for the length of a block. One that a person started keeps running; one that a killed run left is ended."""
        with claimed(self._mark, self.running()) as mine:
            try:
                self._start()
                yield
            finally:
                if mine:
                    self._reporter.say("stopping the services ...")
                    self.down()

    def _check_ports(self) -> None:
        for name, port in self._settings.ports().items():
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise InvalidInput(f"port {port} ({name}) is taken by another program; stop it, or set ASKBACK_PORT to a free range")

    def _prepare_model(self) -> None:
        model = self._settings.base_model
        if self._settings.embedded and not Path(model).exists():
            self._reporter.say(f"building the embedded student {Path(model).name} (once, about half a minute) ...")
            command = [sys.executable, "-m", "services.student.embedded_model", model]
            environment = self._settings.environment()
            done = subprocess.run(command, env=environment, cwd=self._settings.root, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode:
                raise ServiceError(f"the embedded student could not be built: {done.stderr.strip().splitlines()[-1]}")
        if not (Path(model) / "config.json").is_file():
            raise InvalidInput(f"BASE_MODEL: {model!r} is not a model folder (it has no config.json); give the folder of a transformers model")

    def _wait_ready(self) -> None:
        waiting = dict(self._settings.urls())
        started, lives = time.monotonic(), defaultdict[str, set[int]](set)
        with self._reporter.bar("starting services", len(waiting)) as bar, httpx.Client(timeout=2.0) as http:
            while waiting:
                for name, url in list(waiting.items()):
                    if _ready(http, f"{url}/{'health' if name == 'engine' else 'readyz'}"):
                        del waiting[name]
                        bar.advance()
                bar.note(f"waiting for {', '.join(waiting)}" if waiting else "")
                self._check_alive(started, lives)
                time.sleep(0.5)

    def _check_alive(self, started: float, lives: dict[str, set[int]]) -> None:
        """Raise ServiceError for what will not become ready; `lives` holds the process ids that each name has had."""
        for name, (state, pid) in self._processes.states().items():
            lives[name] |= {pid} - {0}
            if state in _DEAD or len(lives[name]) > _LIVES:
                raise ServiceError(f"{name} did not start: {self._processes.complaint(name)} (see {self._settings.home}/log/{name}.log)")
        if time.monotonic() - started > _START_S:
            raise ServiceError(f"the services were not ready within {_START_S:.0f} s; see {self._settings.home}/log/")


def _ready(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False
