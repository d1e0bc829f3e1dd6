"""One service alone: up for a block, gone after it, with the stack's cache; one that cannot start says why."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from askback import __version__
from askback.contracts.errors import ServiceError
from askback.local.one_service import _running, evaluator_at_hand, teacher_alone, teacher_at_hand
from askback.local.settings import LocalSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSettings]:
    monkeypatch.setenv("TEACHER_CONFIG", str(ROOT / "configs" / "teacher.toml"))
    yield LocalSettings(ROOT, tmp_path / "var", 18300, "")


def test_it_answers_inside_the_block_and_is_gone_after_it(settings: LocalSettings) -> None:
    with teacher_alone(settings) as url:
        assert url.startswith("http://127.0.0.1:")
        assert [backend["name"] for backend in httpx.get(f"{url}/v1/backends").json()["backends"]][:2] == ["replay", "gold"]
        assert (settings.home / "teacher.sqlite").is_file()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_one_that_is_named_or_up_is_taken_and_else_one_is_started(settings: LocalSettings) -> None:
    with teacher_at_hand(settings, "http://teacher:8001", stack_is_up=True) as url:
        assert url == "http://teacher:8001"
    with teacher_at_hand(settings, "", stack_is_up=True) as url:
        assert url == "http://127.0.0.1:18301"
    assert not settings.home.exists()
    with teacher_at_hand(settings, "", stack_is_up=False) as url:
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_it_is_gone_after_an_error_in_the_block_too(settings: LocalSettings) -> None:
    urls = []
    with pytest.raises(KeyError), teacher_alone(settings) as url:
        urls.append(url)
        raise KeyError
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[0])


def test_one_that_cannot_start_says_why(settings: LocalSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('active = "nobody"\nbackends = []\n')
    monkeypatch.setenv("TEACHER_CONFIG", str(tmp_path / "bad.toml"))
    with (
        pytest.raises(ServiceError, match=r"did not start: teacher: .*bad\.toml: backends: .* \(see .*teacher-alone\.log\)"),
        teacher_alone(settings),
    ):
        pytest.fail("it serves")


def test_one_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = ["/bin/sh", "-c", f"echo $$ > {pid}; exec sleep 60"]
    log = tmp_path / "log"
    with pytest.raises(ServiceError, match=r"not ready within 0\.5 s"), _running(command, dict(os.environ), tmp_path, log, start_s=0.5):
        pytest.fail("it serves")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIG_DFL)


def test_the_evaluator_is_started_without_redis_and_reads_runs(settings: LocalSettings) -> None:
    with evaluator_at_hand(settings, "http://evaluator:8005", stack_is_up=True) as url:
        assert url == "http://evaluator:8005"
    with evaluator_at_hand(settings, "", stack_is_up=True) as url:
        assert url == "http://127.0.0.1:18305"
    with evaluator_at_hand(settings, "", stack_is_up=False) as url:
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok", "service": "evaluator", "version": __version__}
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
