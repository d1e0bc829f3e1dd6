"""Files that nobody should have written: one clear line, bounded memory."""

import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.records import Condition, Prediction
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage import bounded_file
from services.evaluator.storage.bounded_file import lines_of
from services.evaluator.storage.run_folder import RunFolder
from services.evaluator.storage.runs import Runs
from services.evaluator.workload import estimated_s

ROOT = Path(__file__).parents[3]
GIB = 1 << 30
BASE = Condition(adapter="base", mode="direct")
FILE = r"^demo-1/predictions/base\.direct\.jsonl"


def scored(run: RunFolder) -> None:
    from askback.tasks import task_named

    score_run(run, task_named("strategyqa"), 0)


def sparse(path: Path, start: bytes = b"") -> Path:
    """A file of 1 GiB and one line, of which next to nothing is on the disk."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(GIB)
    return path


@pytest.fixture
def predictions(small_run: Path) -> Path:
    return small_run / "predictions" / "base.direct.jsonl"


@pytest.fixture
def at_most_64_mib() -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20, f"{peak >> 20} MiB"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ('"p_yes": NaN', r":3: p_yes: Input should be a finite number"),
        ('"p_yes": Infinity', r":3: p_yes: Input should be a finite number"),
        ('"p_yes": 1e999', r":3: p_yes: Input should be a finite number"),
        ('"p_yes": 1.5', r":3: p_yes: Input should be less than or equal to 1"),
        ('"p_yes": -0.5', r":3: p_yes: Input should be greater than or equal to 0"),
        ('"usage": {"latency_s": -Infinity}', r":3: usage\.latency_s: Input should be a finite number"),
        ('"usage": {"cost_usd": NaN}', r":3: usage\.cost_usd: Input should be a finite number"),
        ('"draft": {"answer": "yes", "p_yes": NaN, "questions": []}', r":3: draft\.p_yes: Input should be a finite number"),
    ],
)
def test_numbers_that_are_none_are_named(predictions: Path, field: str, message: str) -> None:
    lines = predictions.read_text().splitlines(keepends=True)
    lines[2] = f'{{"sample_id": "q2", "answer": "yes", {field}}}\n'
    predictions.write_text("".join(lines))
    with pytest.raises(InvalidInput, match=FILE + message) as raised:
        scored(RunFolder(predictions.parents[1]))
    assert "\n" not in str(raised.value)


def test_scores_that_are_no_numbers_are_refused(small_run: Path) -> None:
    (small_run / "scores.json").write_text('{"task": "strategyqa", "n": 1, "majority": NaN, "conditions": [], "comparisons": []}')
    with pytest.raises(InvalidInput, match=r"demo-1/scores\.json: majority: Input should be a finite number"):
        RunFolder(small_run).written_scores()


@pytest.mark.usefixtures("at_most_64_mib")
@pytest.mark.parametrize(
    ("megabytes", "message"),
    [("512", r": has 1024\.0 MiB, more than the limit of 512; .*EVALUATOR_MAX_MB"), ("2048", r":1: a line over 16 MiB")],
)
def test_a_gigabyte_of_one_line_is_refused_at_once(predictions: Path, megabytes: str, message: str) -> None:
    sparse(predictions, b'{"sample_id": "')
    runs = Runs.of({"RUNS_DIR": str(predictions.parents[2]), "EVALUATOR_MAX_MB": megabytes})
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=FILE + message):
        scored(runs.open("demo-1"))
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("at_most_64_mib")
@pytest.mark.parametrize("name", ["samples/dev.jsonl", "predictions/base.direct.condition.json", "scores.json", "config.toml"])
def test_no_file_of_a_run_is_read_whole_whatever_its_size(small_run: Path, name: str) -> None:
    sparse(small_run / name)
    run = RunFolder(small_run)
    with pytest.raises(InvalidInput, match=r"^demo-1/.*: has 1024\.0 MiB, more than the limit of"):
        [run.samples(), run.conditions(), run.config(), run.written_scores()]


@pytest.mark.parametrize("limit", ["512", "2048"])
def test_a_process_of_one_gigabyte_of_memory_says_what_is_wrong(predictions: Path, limit: str) -> None:
    sparse(predictions, b"[")
    code = (
        "import os, resource; from services.evaluator.storage.runs import Runs; runs = Runs.of(os.environ); "
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); run = runs.open('demo-1'); run.predictions(run.conditions()[1])"
    )
    environment = os.environ | {"RUNS_DIR": str(predictions.parents[2]), "EVALUATOR_MAX_MB": limit}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "InvalidInput: demo-1/predictions/base.direct.jsonl" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("script", ["strategyqa_evaluator.py", "hotpot_evaluate_v1.py"])
def test_the_scripts_refuse_a_gigabyte_of_one_line_in_little_memory(tmp_path: Path, script: str) -> None:
    big, gold = sparse(tmp_path / "big.json", b"["), tmp_path / "gold.json"
    of_strategyqa = script.startswith("strategyqa")
    gold.write_text(json.dumps([{"qid": "a", "answer": True} if of_strategyqa else {"_id": "a", "answer": "yes", "supporting_facts": []}]))
    files = ["--pred", str(big), "--gold", str(gold)] if of_strategyqa else [str(big), str(gold)]

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))

    command = [sys.executable, str(ROOT / "services" / "evaluator" / script), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, preexec_fn=little)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(big) in done.stderr and "--max-mb" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_text_that_is_not_utf_8_is_named_with_its_line(predictions: Path) -> None:
    lines = predictions.read_bytes().splitlines(keepends=True)
    lines[4] = b'{"sample_id": "q4", "answer": "\xff"}\n'
    predictions.write_bytes(b"".join(lines))
    with pytest.raises(InvalidInput, match=FILE + r":5: not UTF-8 text \(invalid start byte at byte 31\)"):
        RunFolder(predictions.parents[1]).predictions(BASE)


def test_ids_of_other_questions_are_named_with_both_files(predictions: Path) -> None:
    predictions.write_text("".join(Prediction(sample_id=f"z{i}", answer="yes").model_dump_json() + "\n" for i in range(36)))
    with pytest.raises(InvalidInput) as raised:
        scored(RunFolder(predictions.parents[1]))
    assert str(raised.value) == (
        "demo-1/predictions/base.direct.jsonl: no sample_id is in demo-1/samples/dev.jsonl ('z0', 'z1', 'z2', ... here, "
        "'q0', 'q1', 'q2', ... there); put the samples of these predictions there"
    )


def test_a_line_that_is_being_written_is_told_from_a_bad_one(predictions: Path) -> None:
    whole = predictions.read_bytes()
    predictions.write_bytes(whole[:-20])
    with pytest.raises(InvalidInput, match=FILE + r":36: the last line is cut off.*finish that stage first"):
        RunFolder(predictions.parents[1]).predictions(BASE)
    predictions.write_bytes(whole[:-20] + b"\n")
    with pytest.raises(InvalidInput, match=FILE + r":36: row: Invalid JSON"):
        RunFolder(predictions.parents[1]).predictions(BASE)
    predictions.write_bytes(whole[:-1])
    assert len(RunFolder(predictions.parents[1]).predictions(BASE)) == 36


def test_a_file_that_changes_while_it_is_read_is_a_conflict(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("1\n2\n")
    reading = lines_of(file, "a.jsonl", 1000)
    assert next(reading) == (1, "1\n", True)
    with file.open("a") as more:
        more.write("3\n")
    with pytest.raises(Conflict, match=r"a\.jsonl: changed while it was read"):
        list(reading)


def test_too_many_short_lines_and_a_long_pipe_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n" * 11)
    monkeypatch.setattr(bounded_file, "MOST_ROWS", 10)
    with pytest.raises(InvalidInput, match=r"a\.jsonl: more than 10 lines"):
        list(lines_of(tmp_path / "a.jsonl", "a.jsonl", 1000))
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, b"x" * 40 + b"\n")
    with pytest.raises(InvalidInput, match=r"pipe: has .* MiB, more than the limit"):
        list(lines_of(tmp_path / "pipe", "pipe", 30))
    os.close(writer)


def test_a_deep_document_and_an_absent_file_are_one_line(full_run: Path, write_rows: Callable[..., None]) -> None:
    (full_run / "tracks" / "data_card.json").write_text("[" * 200_000)
    with pytest.raises(InvalidInput, match=r"data_card\.json: nested too deeply"):
        RunFolder(full_run).data_card()
    with pytest.raises(InvalidInput, match=r"predictions/base\.cot\.jsonl: cannot be read \(No such file"):
        RunFolder(full_run).predictions(Condition(adapter="base", mode="cot"))


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "99999999"])
def test_a_bad_limit_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="EVALUATOR_MAX_MB"):
        Runs.of({"EVALUATOR_MAX_MB": text})


def test_large_runs_and_pipes_are_not_looked_into(small_run: Path) -> None:
    run = RunFolder(small_run)
    small = estimated_s(run)
    assert 0 < small < 1
    (small_run / "tracks").mkdir()
    sparse(small_run / "tracks" / "direct.jsonl")
    assert estimated_s(RunFolder(small_run, 2 * GIB)) == float("inf")
    with pytest.raises(InvalidInput, match=r"^demo-1/tracks/direct\.jsonl: has 1024\.0 MiB, more than the limit of 512"):
        estimated_s(run)
    (small_run / "tracks" / "direct.jsonl").unlink()
    samples = run.samples_file.read_text()
    run.samples_file.write_text(samples * 1000)
    assert estimated_s(run) > 30 > 5 > small
    run.samples_file.unlink()
    assert estimated_s(run) == 0
    os.mkfifo(run.samples_file)
    assert estimated_s(run) == float("inf")
