"""The official files and GPT-4's recorded answers, where they are at hand (ASKBACK_DATA, else ../shared/data); never copied here."""

import os
from pathlib import Path

import pytest

from askback.contracts.errors import UpstreamRejected
from askback.tasks import task_named
from askback.tasks.datafile import load_local, read_rows
from askback.tasks.leaks import leaks

DATA = Path(os.environ.get("ASKBACK_DATA") or Path(__file__).parents[3] / "shared" / "data")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not at {DATA}; set ASKBACK_DATA to its folder")


@pytest.mark.parametrize(("name", "sizes"), [("strategyqa", (1832, 229)), ("hotpotqa", (877, 150))])
def test_official_files_load_whole(name: str, sizes: tuple[int, int]) -> None:
    task = task_named(name)
    loaded = tuple(len(load_local(task, DATA / name, split)) for split in ("train", "dev"))
    assert loaded == sizes


@pytest.mark.parametrize(("file", "parsed", "right"), [("gpt4_ltm.jsonl", 0.88, 0.87), ("gpt4_cot.jsonl", 0.77, 0.85)])
def test_recorded_answers_are_read_and_mostly_right(file: str, parsed: float, right: float) -> None:
    task, folder = task_named("strategyqa"), DATA / "strategyqa"
    gold = {sample.id: sample for split in ("train", "dev") for sample in load_local(task, folder, split)}
    rows = [row for _, row in read_rows(folder / file)]
    verdicts = []
    for row in rows:
        try:
            verdicts.append(task.is_correct(task.parse_teacher(row["completion"]).answer, gold[row["qid"]]))
        except UpstreamRejected:
            continue
    assert len(verdicts) / len(rows) > parsed
    assert sum(verdicts) / len(verdicts) > right


def test_sub_answers_of_recordings_never_hold_a_verdict() -> None:
    task = task_named("strategyqa")
    for _, row in read_rows(DATA / "strategyqa" / "gpt4_ltm.jsonl"):
        read = " ".join(task.teacher_answers(row["completion"]))
        assert "final answer" not in read.lower(), row["qid"]


def test_gold_replies_of_official_rows_can_be_read_back() -> None:
    for name in ("strategyqa", "hotpotqa"):
        task = task_named(name)
        for sample in load_local(task, DATA / name, "dev"):
            assert task.is_correct(task.parse_teacher(task.render_gold(sample)).answer, sample), sample.id


def test_questions_of_the_gold_teacher_seldom_tell_the_answer() -> None:
    task = task_named("hotpotqa")
    samples = load_local(task, DATA / "hotpotqa", "train")
    told = [any(leaks(task, exchange.question, one) for exchange in task.parse_teacher(task.render_gold(one)).exchanges) for one in samples]
    assert sum(told) / len(samples) < 0.02
