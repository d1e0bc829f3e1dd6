"""Mistakes on the command line: one clear line, exit code 2, never a traceback, nothing lost."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEMO = (ROOT / "configs" / "demo.toml").read_text()


def askback(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "askback.cli", *arguments]
    env = {**os.environ, "ASKBACK_PORT": "18900", "COLUMNS": "200", **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


def assert_mistake(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def model_folder(tmp_path: Path) -> str:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return str(tmp_path / "model")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "strategyqa"', 'task = "chess"', "run.toml: unknown task 'chess'"),
        ("epochs = 2", "epochs = 0", "recipe.epochs"),
        ("[harvest]", "[harvets]", "harvets"),
        ("seed = 13", "seed = ", "not a readable TOML"),
    ],
)
def test_a_bad_configuration(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(DEMO.replace(old, new, 1).replace("task: ", ""))
    assert_mistake(askback(tmp_path, "run", "run.toml"), message.split(": ")[-1])


def test_a_choice_without_held_out_rows(tmp_path: Path) -> None:
    done = askback(tmp_path, "choose", str(ROOT / "configs" / "demo.toml"), "--data", str(ROOT / "data/sample/strategyqa"), "--id", "x")
    assert_mistake(done, "data.held_out: 0 rows are held out")
    assert "starting services" not in done.stderr


def test_a_missing_configuration(tmp_path: Path) -> None:
    assert_mistake(askback(tmp_path, "run", "nowhere.toml"), "askback: nowhere.toml: no such file")


def test_a_malformed_row_is_named_before_any_service_starts(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"qid": "a", "question": "A?", "answer": true}\n{"qid": "b"}\n')
    done = askback(tmp_path, "run", str(ROOT / "configs" / "demo.toml"), "--data", str(tmp_path), "--id", "x")
    assert_mistake(done, "train.jsonl:2: field `question` is missing")
    assert "starting services" not in done.stderr


def test_a_missing_data_folder(tmp_path: Path) -> None:
    done = askback(tmp_path, "run", str(ROOT / "configs" / "demo.toml"), "--data", "nowhere", "--id", "x")
    assert_mistake(done, "nowhere: no such folder")


def test_a_bad_run_id(tmp_path: Path) -> None:
    assert_mistake(askback(tmp_path, "run", str(ROOT / "configs" / "demo.toml"), "--id", "../up"), "--id: '../up'")


def test_an_earlier_run_that_is_not_there_is_named_before_any_service_starts(tmp_path: Path) -> None:
    data = str(ROOT / "data" / "sample" / "strategyqa")
    done = askback(tmp_path, "harvest", str(ROOT / "configs" / "demo.toml"), "--data", data, "--id", "x", "--previous", "nowhere")
    assert_mistake(done, "previous: no run 'nowhere' in runs")
    assert "starting services" not in done.stderr


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 18903)):
        done = askback(tmp_path, "up", BASE_MODEL=model_folder(tmp_path))
    assert_mistake(done, "port 18903 (retriever) is taken by another program")


def test_a_model_that_cannot_be_found(tmp_path: Path) -> None:
    assert_mistake(askback(tmp_path, "up", BASE_MODEL="/nowhere/model"), "BASE_MODEL: '/nowhere/model' is not a model folder")


def test_a_bad_port_number(tmp_path: Path) -> None:
    assert_mistake(askback(tmp_path, "up", ASKBACK_PORT="high"), "ASKBACK_PORT: 'high'")


def test_a_full_disk_is_one_line_and_our_failure(tmp_path: Path) -> None:
    program = "from askback import cli\ndef full(): raise OSError(28, 'No space left on device', 'runs/r/harvest.jsonl')\ncli.app = full\ncli.main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (1, "askback: [Errno 28] No space left on device: 'runs/r/harvest.jsonl'\n")


def test_services_that_are_not_there_are_our_failure_and_named(tmp_path: Path) -> None:
    done = askback(tmp_path, "ask", "Is it?", STUDENT_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "student at http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "harvest", "tracks", "train", "choose", "evaluate", "report", "estimate", "status", "view", "ask", "up"])
def test_help_has_an_example(tmp_path: Path, command: str) -> None:
    done = askback(tmp_path, command, "--help")
    assert done.returncode == 0
    assert f"askback {command}" in done.stdout.split("Example", 1)[1]


def test_no_command_and_an_unknown_one(tmp_path: Path) -> None:
    assert askback(tmp_path).returncode == 2
    assert askback(tmp_path, "dance").returncode == 2


def test_tracks_takes_a_configuration_or_a_command(tmp_path: Path) -> None:
    assert_mistake(askback(tmp_path, "tracks", "--id", "x", "missing.toml"), "missing.toml: no such file")
    assert_mistake(askback(tmp_path, "tracks", "push", "first", "me/tracks", HF_TOKEN=""), "HF_TOKEN")
