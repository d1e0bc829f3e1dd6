"""What a run says where it hands over more trainings than the embedded stack has workers."""

import pytest

from askback.cli import services
from askback.local.settings import LocalSettings


class Said:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def said(monkeypatch: pytest.MonkeyPatch, at_once: int, workers: int) -> list[str]:
    class Running:
        def __init__(self, settings: LocalSettings) -> None: ...

        def trainer_workers(self) -> int:
            return workers

    monkeypatch.setattr(services, "Processes", Running)
    reporter = Said()
    services.tell_of_workers(at_once, reporter)  # type: ignore[arg-type]
    return reporter.lines


@pytest.fixture(autouse=True)
def _no_services_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LocalSettings.of({}).urls():
        monkeypatch.delenv(f"{name.upper()}_URL", raising=False)


def test_trainings_that_will_wait_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = ": the other trainings wait; askback down, then TRAINER_WORKERS=8, runs them together"
    assert said(monkeypatch, 8, 1) == [f"train.at_once is 8 and 1 trainer worker runs{rest}"]
    assert said(monkeypatch, 8, 3) == [f"train.at_once is 8 and 3 trainer workers run{rest}"]


@pytest.mark.parametrize(("at_once", "workers"), [(1, 1), (8, 8), (1, 8), (8, 0)])
def test_nothing_is_said_of_enough_workers_or_of_a_number_that_is_not_known(monkeypatch: pytest.MonkeyPatch, at_once: int, workers: int) -> None:
    assert said(monkeypatch, at_once, workers) == []


def test_of_services_elsewhere_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_URL", "http://127.0.0.1:9")
    assert said(monkeypatch, 8, 1) == []
