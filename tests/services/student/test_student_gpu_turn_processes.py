"""The card's turn between real processes, real locks and real kills. See gpu_processes.py."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gpu_processes
import httpx
import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
WAIT_S = 30.0


class Card:
    """The processes that share one card."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"engine": free_port(), "student": free_port()}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, role: str, **variables: str) -> "subprocess.Popen[bytes]":
        process = gpu_processes.start(role, self.folder, self.ports.get(role, self.ports["student"]), self.ports["engine"], **variables)
        self.running.append(process)
        return process

    def phase(self) -> str:
        try:
            return str(httpx.get(f"http://127.0.0.1:{self.ports['student']}/v1/engine").json()["phase"])
        except (httpx.HTTPError, KeyError):
            return ""

    def sleeping(self) -> bool | None:
        try:
            return bool(httpx.get(f"http://127.0.0.1:{self.ports['engine']}/is_sleeping").json()["is_sleeping"])
        except httpx.HTTPError:
            return None

    def ask(self) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.ports['student']}/ask", timeout=WAIT_S)

    def serves(self) -> bool:
        try:
            return self.ask().status_code == 200
        except httpx.HTTPError:
            return False

    def training(self) -> bool:
        return gpu_processes.training_pid(self.folder) is not None

    def violations(self) -> str:
        path = self.folder / "violations"
        return path.read_text() if path.exists() else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], object], what: str) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < WAIT_S, f"{what}: not within {WAIT_S} s"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = Card(tmp_path)
    yield card
    for process in card.running:
        process.kill()
        process.wait()


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_training_gets_the_card_and_gives_it_back_within_seconds(card: Card) -> None:
    card.start("engine")
    card.start("student")
    until(card.serves, "the student serves")
    training = card.start("training")
    until(card.training, "the training has the card")
    refused = card.ask()
    assert (refused.status_code, refused.json()["error"]) == (503, "UpstreamUnavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert "asleep while job" in refused.json()["detail"]
    (card.folder / "end").touch()
    training.wait()
    assert until(card.serves, "the student serves again") < 5
    assert card.violations() == ""


def test_requests_under_way_finish_before_the_engine_sleeps(card: Card) -> None:
    card.start("engine")
    card.start("student")
    until(card.serves, "the student serves")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(card.ask) for _ in range(8)]
        time.sleep(0.1)
        card.start("training")
        assert [answer.result().status_code for answer in asked] == [200] * 8
    until(card.training, "the training has the card")
    assert card.violations() == ""


@pytest.mark.parametrize("delay", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("who", ["student", "training", "engine"])
def test_a_kill_at_any_step_leaves_one_owner_and_a_way_on(card: Card, who: str, delay: float) -> None:
    """Kill one process at some moment of the hand-over, start it again: the training trains alone, and the student serves after it."""
    processes = {"engine": card.start("engine"), "student": card.start("student", GRACE_S="2")}
    until(card.serves, "the student serves")
    processes["training"] = card.start("training")
    until(lambda: (card.folder / "training.log").exists(), "the training started")
    if who != "training":
        until(lambda: card.phase() == "draining" or card.sleeping(), "the hand-over began")
    time.sleep(delay)
    kill(processes[who])
    if who == "engine" and card.training():  # what starts an engine waits for the card, see engine_command
        (card.folder / "end").touch()
        until(lambda: not card.training(), "the training ends")
    card.start(who, **({"GRACE_S": "2"} if who == "student" else {}))
    if not (card.folder / "end").exists():
        until(card.training, "a training has the card")
        assert card.sleeping()
        (card.folder / "end").touch()
    until(card.serves, "the student serves again")
    assert card.violations() == ""


def test_an_engine_that_comes_up_in_a_training_is_put_to_sleep(card: Card) -> None:
    engine = card.start("engine")
    card.start("student")
    until(card.serves, "the student serves")
    card.start("training")
    until(card.training, "the training has the card")
    kill(engine)
    card.start("engine")
    until(lambda: card.sleeping() is False, "the engine came up awake")
    assert until(card.sleeping, "it was put to sleep") < 2
    assert card.training()


def test_a_student_started_in_a_training_waits_for_its_end(card: Card) -> None:
    card.start("engine")
    student = card.start("student")
    until(card.serves, "the student serves")
    card.start("training")
    until(card.training, "the training has the card")
    kill(student)
    card.start("student")
    until(lambda: card.phase() == "asleep", "the new student knows that the engine sleeps")
    assert card.ask().status_code == 503
    (card.folder / "end").touch()
    until(card.serves, "it serves")
    assert card.violations() == ""


def test_no_training_begins_without_a_student_s_word(card: Card) -> None:
    card.start("engine")
    student = card.start("student")
    until(card.serves, "the student serves")
    kill(student)
    card.start("training")
    until(lambda: (card.folder / "note").exists(), "the training says what it waits for")
    assert "waiting for the GPU: student at" in (card.folder / "note").read_text()
    assert not card.training()
    card.start("student")
    until(card.training, "the training has the card")
    assert card.violations() == ""
