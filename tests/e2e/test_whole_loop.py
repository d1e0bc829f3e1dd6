"""The whole loop on real engines, killed twice on its way, and what a person sees of it."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from conftest import FIRST_PORT, Workspace

from askback.contracts.evaluator import Scores
from askback.loop.stages import STAGES
from askback.loop.train import first_and_last

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "strategyqa"
CONFIG = f"""
name = "tiny"
task = "strategyqa"
seed = 5
base_model = "SmolLM2-135M-Instruct"
[data]
path = "{SAMPLE}"
train = 16
dev = 8
[harvest]
teacher = "paid"
concurrency = 4
[recipe]
epochs = 3
batch_size = 4
[[adapters]]
name = "direct"
track = "direct"
[[adapters]]
name = "dialogue"
track = "dialogue"
recipe = {{ epochs = 1 }}
[[adapters]]
name = "dpo"
track = "preference"
method = "dpo"
init = "direct"
recipe = {{ epochs = 1, batch_size = 1, learning_rate = 1e-4 }}
[evaluate]
conditions = ["base.direct", "direct.direct", "dialogue.assisted.gold", "dpo.direct"]
"""


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.05)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def job_running(workspace: Workspace) -> bool:
    for path in (workspace.path / "var" / "jobs").glob("*/job.json"):
        job = json.loads(path.read_text())
        if job["state"] == "running" and job["progress"]["step"] >= 1:
            return True
    return False


def trainer_worker(workspace: Workspace) -> int:
    """Process id of the Celery worker that trains: the one among supervisord's children."""
    supervisord = (workspace.path / "var" / "supervisord.pid").read_text().strip()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if b"services.trainer.tasks" in command and parent == supervisord:
            return int(process.name)
    raise AssertionError("no trainer worker is running")


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> Path:
    """A run that lost its command line in the harvest and its worker in the training, and was started again."""
    (workspace.path / "tiny.toml").write_text(CONFIG)
    folder = workspace.path / "runs" / "k"
    first = workspace.start("run", "tiny.toml", "--id", "k")
    wait_for(lambda: lines(folder / "harvest.jsonl") >= 12, "twelve harvest records")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (folder / "manifests" / "harvest.json").exists(), "the kill came too late to show anything"
    second = workspace.start("run", "tiny.toml", "--id", "k")
    wait_for(lambda: job_running(workspace), "a training step")
    os.kill(trainer_worker(workspace), signal.SIGKILL)
    assert second.wait(900) == 0, (workspace.path / "cli.log").read_text()[-3000:]
    return folder


def test_every_stage_and_file_is_there(run: Path) -> None:
    assert {path.stem for path in (run / "manifests").glob("*.json")} == set(STAGES)
    names = ["config.toml", "harvest.jsonl", "tracks/data_card.json", "scores.json", "report.html", "report.md", "slides.pptx", "promotion.json"]
    names += [f"tracks/{track}.jsonl" for track in ("direct", "cot", "context", "dialogue", "preference")]
    names += [f"adapters/{name}/adapter_model.safetensors" for name in ("direct", "dialogue", "dpo")]
    assert [name for name in names if not (run / name).stat().st_size] == []
    assert list((run / "figures").glob("*.svg"))


def test_no_answer_was_paid_twice(run: Path, workspace: Workspace) -> None:
    assert len(workspace.teacher.paid) == 16
    assert set(workspace.teacher.paid.values()) == {1}


def test_no_step_was_done_twice(run: Path) -> None:
    records = [json.loads(line) for line in (run / "harvest.jsonl").read_text().splitlines()]
    assert Counter(record["stage"] for record in records if not record["error"]) == {"draft": 16, "teacher": 16, "rewrite": 16}
    cost = sum(record["usage"]["cost_usd"] for record in records if record["stage"] == "teacher" and record["cache"] == "miss")
    assert cost <= 16 * (100 * 1.0 + 50 * 2.0) / 1e6 + 1e-12


def test_the_loss_falls(run: Path) -> None:
    losses = [point["loss"] for point in json.loads((run / "adapters/direct/training.json").read_text())["losses"]]
    first, last = first_and_last(losses)
    assert last < 0.7 * first


def test_adapters_differ_from_the_base_and_from_each_other(run: Path) -> None:
    weights = {name: (run / "adapters" / name / "adapter_model.safetensors").read_bytes() for name in ("direct", "dialogue", "dpo")}
    assert len(set(weights.values())) == 3
    answers = {}
    for name in ("base.direct", "direct.direct", "dpo.direct"):
        rows = [json.loads(line) for line in (run / "predictions" / f"{name}.jsonl").read_text().splitlines()]
        answers[name] = tuple(row["p_yes"] for row in rows)
    assert len(set(answers.values())) == 3


def test_scores_have_intervals_and_all_pairs(run: Path) -> None:
    scores = Scores.model_validate_json((run / "scores.json").read_text())
    assert [score.condition.name for score in scores.conditions if score.metrics[0].n != 8] == []
    assert all(score.metrics[0].low <= score.metrics[0].value <= score.metrics[0].high for score in scores.conditions)
    assert len(scores.comparisons) == 6


def test_a_finished_run_does_nothing_again(run: Path, workspace: Workspace) -> None:
    paid = workspace.teacher.paid.total()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    again = workspace.call("run", "tiny.toml", "--id", "k")
    assert again.returncode == 0, again.stderr
    assert workspace.teacher.paid.total() == paid
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"} == before


def test_asking_shows_the_whole_exchange(workspace: Workspace) -> None:
    (question,) = [json.loads(line)["question"] for line in (SAMPLE / "dev.jsonl").read_text().splitlines()[:1]]
    done = workspace.call("ask", question, "--adapter", "base")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(("asks", "answered"))] == ["draft", "rewrite"]
    assert "asks " in done.stdout and "answered " in done.stdout


def test_the_key_is_in_no_file(run: Path, workspace: Workspace) -> None:
    found = [path for path in workspace.path.rglob("*") if path.is_file() and b"secret-key-of-the-test" in path.read_bytes()]
    assert found == []


def test_services_listen_on_loopback_only(workspace: Workspace) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {int(fields[1].split(":")[1], 16): fields[1].split(":")[0] for fields in listening if fields[3] == "0A"}
    for port in range(int(FIRST_PORT), int(FIRST_PORT) + 7):
        assert ours[port] == "0100007F", f"port {port} listens on {ours[port]}"


def test_a_second_stack_on_the_same_ports_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    environment = {**workspace.environment, "ASKBACK_HOME": str(tmp_path / "var")}
    done = Workspace(tmp_path, workspace.teacher, environment).call("up")
    assert done.returncode == 2
    assert f"port {FIRST_PORT} (engine) is taken" in done.stderr


def test_an_engine_that_forgot_an_adapter_is_given_it_again(run: Path, workspace: Workspace) -> None:
    student = f"http://127.0.0.1:{int(FIRST_PORT) + 2}"
    names = [adapter["name"] for adapter in httpx.get(f"{student}/v1/adapters").json()["adapters"]]
    adapter = next(name for name in names if name.startswith("k-direct"))
    engine = f"http://127.0.0.1:{FIRST_PORT}"
    httpx.post(f"{engine}/v1/unload_lora_adapter", json={"lora_name": adapter}).raise_for_status()
    answer = httpx.post(f"{student}/v1/answer", json={"question": "Is ice cold?", "adapter": adapter}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert adapter in [model["id"] for model in httpx.get(f"{engine}/v1/models").json()["data"]]
