"""The study's script with a command that only notes how it was called."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "recipes" / "strategyqa-smollm2" / "run.sh"
ROUNDS = ["strategyqa-smollm2", "strategyqa-smollm2-round2", "strategyqa-smollm2-round3"]
STAGES = [(command, name) for command in ("choose", "run") for name in ROUNDS]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "official data").mkdir()
    (tmp_path / "official data" / "train.jsonl").touch()
    return tmp_path / "official data"


def run(data: Path, fails_at: str = "") -> tuple["subprocess.CompletedProcess[str]", list[str]]:
    """(the script's end, how askback was called), with a command that fails for the run `fails_at`."""
    command, calls = data.parent / "askback", data.parent / "calls"
    command.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ "$1 $6" != "{fails_at}" ]\n')
    command.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "DATA": str(data), "ASKBACK": str(command)}
    done = subprocess.run([str(SCRIPT)], cwd=data.parent, env=environment, capture_output=True, text=True, check=False)
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_every_round_is_chosen_before_any_reads_dev(data: Path) -> None:
    done, calls = run(data)
    assert (done.returncode, done.stderr) == (0, "")
    assert calls == [f"{command} configs/{name}.toml --data {data} --id {name}" for command, name in STAGES]
    assert [line.split(": ")[0] for line in done.stdout.splitlines() if line.endswith(" s")] == [f"== askback {one}, {name}" for one, name in STAGES]


def test_the_first_failure_ends_it(data: Path) -> None:
    done, calls = run(data, fails_at=f"choose {ROUNDS[1]}")
    assert done.returncode != 0 and len(calls) == 2


def test_a_folder_without_the_data_is_named(tmp_path: Path) -> None:
    done, calls = run(tmp_path / "nowhere")
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith(f"DATA: {tmp_path}/nowhere has no train.jsonl")


def test_make_lists_it() -> None:
    listed = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert any(line.split()[:1] == ["results"] for line in listed.splitlines())
    planned = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/installed", "results"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert planned.strip() == str(SCRIPT.relative_to(ROOT))
