"""Waiting for the stack: a process that dies again and again is named with its own words, long before the time is up."""

import time
from collections import defaultdict
from pathlib import Path

import pytest

from askback.contracts.errors import ServiceError
from askback.local.processes import Processes
from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.loop.progress import Reporter

ROOT = Path(__file__).parents[2]
ENGINE_LOG = """\
(APIServer pid=7) INFO 11-23 [scheduler.py:252] Chunked prefill is enabled with max_num_batched_tokens=8192.
(EngineCore pid=9) ERROR 11-23 [core.py:1330] ValueError: Free memory on device cuda:0 (33.89/139.8 GiB) is less than desired.
(EngineCore pid=9)     raise ValueError(
(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


class Dying(Processes):
    """Processes whose engine has another id whenever it is looked at, as under a supervisor that starts it again at once."""

    pid = 100

    def states(self) -> dict[str, tuple[str, int]]:
        self.pid += 1
        return {"engine": ("RUNNING", self.pid), "teacher": ("RUNNING", 7), "redis": ("STARTING", 0)}


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    log = tmp_path / "var" / "log"
    log.mkdir(parents=True)
    (log / "engine.log").write_text(ENGINE_LOG)
    (log / "teacher.log").write_text("starting\nno key\n\n")
    return LocalSettings(ROOT, tmp_path / "var", 18400, "")


def test_a_process_that_dies_again_and_again_is_named_with_its_first_error(settings: LocalSettings) -> None:
    stack, lives = Stack(settings, Reporter()), defaultdict[str, set[int]](set)
    stack._processes = Dying(settings)
    now = time.monotonic()
    stack._check_alive(now, lives)
    stack._check_alive(now, lives)
    with pytest.raises(ServiceError, match=r"^engine did not start: ValueError: Free memory .* desired\. \(see .*/log/engine\.log\)$"):
        stack._check_alive(now, lives)


def test_what_lives_on_is_waited_for(settings: LocalSettings) -> None:
    stack, lives = Stack(settings, Reporter()), defaultdict[str, set[int]](set)
    stack._processes = Dying(settings)
    stack._processes.states = lambda: {"engine": ("RUNNING", 5)}  # type: ignore[method-assign]
    for _ in range(9):
        stack._check_alive(time.monotonic(), lives)
    assert lives == {"engine": {5}}


def test_a_log_without_an_error_gives_its_last_words(settings: LocalSettings) -> None:
    assert Processes(settings).complaint("teacher") == "no key"
    assert Processes(settings).complaint("student") == "its log is empty"
