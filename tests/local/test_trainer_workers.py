"""TRAINER_WORKERS: a group of processes under supervisord, and what keeps its trainings from running side by side."""

import os
import time
from collections import defaultdict
from pathlib import Path

import pytest
from doctor_stage import Machine, brief

from askback.contracts.errors import InvalidInput, ServiceError
from askback.local.doctor import trainings
from askback.local.processes import Processes
from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.local.trainer_workers import doubts, worker_count, worker_threads
from askback.loop.progress import Reporter

H200 = "echo 143771"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def parsed(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, str]]]:
    """What supervisord reads from its file under these settings: the processes of each program."""
    options = pytest.importorskip("supervisor.options")
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    (settings.home / "log").mkdir(parents=True, exist_ok=True)
    read = options.ServerOptions()
    read.realize(args=["-c", str(Path("askback/local/supervisord.conf").resolve())])
    return {group.name: [vars(process) for process in group.process_configs] for group in read.process_group_configs}


@pytest.mark.parametrize("text", ["0", "65", "-1", "2.5", "many", "٣", "1000"])
def test_a_number_of_workers_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^TRAINER_WORKERS: .* from 1 to 64$"):
        LocalSettings.of({"TRAINER_WORKERS": text})


def test_one_worker_unless_told_otherwise() -> None:
    assert [worker_count(given) for given in ({}, {"TRAINER_WORKERS": ""}, {"TRAINER_WORKERS": "64"})] == [1, 1, 64]
    assert LocalSettings.of({}).trainer_workers == 1


def test_workers_share_the_cores_unless_the_threads_are_set() -> None:
    assert [worker_threads({}, workers, 16) for workers in (1, 3, 8, 64)] == [16, 5, 2, 1]
    assert worker_threads({"OMP_NUM_THREADS": "4"}, 8, 16) == 4


@pytest.mark.parametrize("count", [1, 3])
def test_supervisord_starts_as_many_workers_with_names_and_logs_of_their_own(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    settings = LocalSettings.of({"ASKBACK_HOME": str(tmp_path), "TRAINER_WORKERS": str(count)})
    programs = parsed(settings, monkeypatch)
    workers = programs.pop("trainer-worker")
    assert [one["name"] for one in workers] == [f"trainer-worker{number}" for number in range(1, count + 1)]
    for number, one in enumerate(workers, 1):
        assert f" -n trainer{number}@%h" in one["command"]
        assert one["stdout_logfile"] == str(tmp_path / "log" / f"trainer-worker{number}.log")
        assert one["environment"]["OMP_NUM_THREADS"] == str(max(1, (os.cpu_count() or 1) // count))
    assert {name: len(processes) for name, processes in programs.items()} == dict.fromkeys(programs, 1)


class Group(Processes):
    """A stack whose second trainer worker is dead."""

    def states(self) -> dict[str, tuple[str, int]]:
        return {"trainer": ("RUNNING", 5), "trainer-worker1": ("RUNNING", 7), "trainer-worker2": ("FATAL", 0)}


def test_the_dead_one_of_a_group_is_named_with_its_own_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "trainer-worker1.log").write_text("ready\n")
    (tmp_path / "log" / "trainer-worker2.log").write_text("GPU_MEMORY_GB: 'x' must be a number above 0, such as 8\n")
    settings = LocalSettings(tmp_path, tmp_path, 18400, "", 2)
    stack = Stack(settings, Reporter())
    stack._processes = Group(settings)
    with pytest.raises(ServiceError, match=r"^trainer-worker2 did not start: GPU_MEMORY_GB: .*\(see .*/log/trainer-worker2\.log\)$"):
        stack._check_alive(time.monotonic(), defaultdict[str, set[int]](set))
    assert Group(settings).trainer_workers() == 2
    assert Processes(settings).trainer_workers() == 0


async def test_what_fits_is_well(machine: Machine) -> None:
    assert brief(await trainings.workers(machine.surroundings())) == [("ok", "1 trainer worker: as many trainings at a time")]
    machine.command("nvidia-smi", H200)
    assert doubts({"PATH": str(machine.bin), "TRAINER_WORKERS": "8", "GPU_MEMORY_GB": "16"}) == []
    assert doubts({"PATH": str(machine.bin), "TRAINER_WORKERS": "8", "CUDA_VISIBLE_DEVICES": "-1"}) == []
    assert doubts({"PATH": str(machine.bin), "TRAINER_WORKERS": "1"}) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "8 trainer workers share a card of 151 GB and GPU_MEMORY_GB is not set"),
        ({"GPU_MEMORY_GB": "20"}, "8 trainer workers of GPU_MEMORY_GB=20 and their contexts may take 164 GB, and the card has 151"),
        (
            {"GPU_MEMORY_GB": "10", "GPU_LOCK": "/gpu/lock"},
            "GPU_LOCK is set, and one training at a time holds it: the other 7 of 8 trainer workers wait",
        ),
    ],
)
async def test_what_keeps_trainings_apart_is_told_with_a_remedy(machine: Machine, settings: dict[str, str], told: str) -> None:
    machine.command("nvidia-smi", H200)
    (found,) = await trainings.workers(machine.surroundings(TRAINER_WORKERS="8", **settings))
    assert found.level.value == "warn" and told in found.text
    assert "TRAINER_WORKERS=1" in found.remedy if "GPU_LOCK" in settings else "GPU_MEMORY_GB=16.5" in found.remedy


def test_without_a_card_or_with_a_driver_that_fails_nothing_is_said_of_memory(machine: Machine) -> None:
    given = {"PATH": str(machine.bin), "TRAINER_WORKERS": "8"}
    assert doubts(given) == []
    machine.command("nvidia-smi", "echo 'no devices were found'; exit 6")
    assert doubts(given) == []
