"""`askback index`, with a builder that only says what it was told."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from askback.cli import index_group
from askback.contracts.errors import InvalidInput

TELLS = "import sys; print(' '.join(sys.argv[1:])); sys.exit(3)"


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    index_group.add_to(app)
    app.command("other")(lambda: None)  # with one command alone typer would leave its name out
    return app


def test_the_builder_is_told_the_corpus_and_its_exit_code_is_ours(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index_group, "_BUILDER", (sys.executable, "-c", TELLS))
    told = ["index", "build", "wiki", "--wiki", "w.tar.bz2", "--embedder", "intfloat/e5-small", "--recall", ".95", "--limit", "10"]
    assert CliRunner().invoke(app, told).exit_code == 3
    assert capfd.readouterr().out == "build wiki --wiki w.tar.bz2 --recall 0.95 --limit 10 --embedder intfloat/e5-small\n"
    assert CliRunner().invoke(app, ["index", "list"]).exit_code == 3
    assert capfd.readouterr().out == "list\n"


@pytest.mark.parametrize("corpora", [[], ["--jsonl", "a", "--hotpotqa", "b"]])
def test_one_corpus_is_wanted(app: typer.Typer, corpora: list[str]) -> None:
    result = CliRunner().invoke(app, ["index", "build", "x", *corpora])
    assert isinstance(result.exception, InvalidInput)
    assert "name one corpus: --wiki, --jsonl or --hotpotqa FILE" in str(result.exception)


def test_the_real_builder_is_found_and_tells_a_mistake_in_one_line(tmp_path: Path) -> None:
    command = f"from askback.cli.index_group import run_builder; raise SystemExit(run_builder(['build', 'x', '--jsonl', {str(tmp_path / 'none')!r}]))"
    seen = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=120)
    assert seen.returncode == 2
    assert seen.stderr == f"index: {tmp_path / 'none'} cannot be read (No such file or directory); name the corpus file\n"


_STOPPED = """
import sys
from askback.cli import index_group
index_group._BUILDER = (sys.executable, "-c", sys.argv[1])
raise SystemExit(index_group.run_builder([]))
"""
_BUILDS = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.default_int_handler)
print("ready", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_ends_in_its_own_time(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _STOPPED, _BUILDS], stdout=subprocess.PIPE, start_new_session=True) as ours:
        assert ours.stdout
        assert ours.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        ours.send_signal(number)
        assert ours.stdout.readline() == b"stopped\n"
        assert ours.wait(20) == 130
