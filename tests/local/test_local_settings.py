from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.local.processes import Processes
from askback.local.settings import LocalSettings


def test_ports_count_up_and_urls_follow(tmp_path: Path) -> None:
    settings = LocalSettings.of({"ASKBACK_PORT": "9100", "ASKBACK_HOME": str(tmp_path)})
    assert settings.ports() == {
        "engine": 9100,
        "teacher": 9101,
        "student": 9102,
        "retriever": 9103,
        "trainer": 9104,
        "evaluator": 9105,
        "redis": 9106,
    }
    assert settings.urls()["student"] == "http://127.0.0.1:9102"
    assert "redis" not in settings.urls()


@pytest.mark.parametrize("port", ["80", "70000", "x", ""])
def test_bad_ports(port: str) -> None:
    with pytest.raises(InvalidInput, match="ASKBACK_PORT"):
        LocalSettings.of({"ASKBACK_PORT": port})


def test_every_process_is_told_to_stay_on_loopback(tmp_path: Path) -> None:
    environment = LocalSettings.of({"ASKBACK_HOME": str(tmp_path)}).environment()
    assert environment["ASKBACK_HOST"] == "127.0.0.1"
    assert environment["REDIS_URL"].startswith("redis://127.0.0.1:")


def test_a_base_model_of_ones_own_is_not_the_embedded_one(tmp_path: Path) -> None:
    assert LocalSettings.of({"ASKBACK_HOME": str(tmp_path)}).embedded
    assert not LocalSettings.of({"ASKBACK_HOME": str(tmp_path), "BASE_MODEL": "/m"}).embedded


def test_a_stack_that_never_ran_is_not_running_and_stops_without_complaint(tmp_path: Path) -> None:
    processes = Processes(LocalSettings.of({"ASKBACK_HOME": str(tmp_path)}))
    assert not processes.running()
    processes.stop()
    assert processes.states() == {}


def test_the_control_socket_fits_a_socket_path(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 40)
    assert len(str(LocalSettings.of({"ASKBACK_HOME": str(deep)}).socket)) < 100
