"""A share of the kept questions to train on: any, or the least certain ones."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_student import ScriptedStudent
from track_traces import trace

from askback.contracts.errors import InvalidInput, UpstreamRejected
from askback.contracts.records import Example, Probe, Sample, Trace
from askback.contracts.student import AnswerRequest
from askback.loop import tracks, uncertainty
from askback.loop.config import TracksConfig, parse_config
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.tasks import task_named

ROOT = Path(__file__).parents[2]
TASK = task_named("strategyqa")
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 30, "dev": 8, "probe": True},
    "tracks": {"variants": {"unsure": {"share": 0.5, "by": "uncertainty"}, "any": {"share": 0.5}}},
    "adapters": [{"name": "a", "track": "direct", "tracks": "unsure"}, {"name": "b", "track": "direct", "tracks": "any"}],
    "evaluate": {"conditions": ["base.direct"]},
}


def traces(yes: int, no: int) -> list[Trace]:
    golds = ["yes"] * yes + ["no"] * no
    return [trace(i, gold=gold, said=gold, question=f"Is {i} a number of its own kind?") for i, gold in enumerate(golds)]


def selected(given: list[Trace], seed: int = 1, doubts: dict[str, float] | None = None, **fields: Any) -> tracks.Selection:
    off = {"leaks": False, "duplicates": False, "overlap": False, "length": False} | fields
    return tracks.select(TracksConfig(**off), TASK, given, seed, tracks.Surroundings(uncertainty=doubts or {}))


def ids(selection: tracks.Selection) -> list[str]:
    return [one.sample.id for one in selection.kept]


def test_a_random_share_keeps_the_classes_in_proportion_and_the_order() -> None:
    given = traces(20, 10)
    selection = selected(given, share=0.5, balance=False)
    assert Counter(one.sample.answer for one in selection.kept) == {"yes": 10, "no": 5}
    assert ids(selection) == sorted(ids(selection), key=lambda name: int(name[1:]))
    assert ids(selection) == ids(selected(given, share=0.5, balance=False)) != ids(selected(given, seed=2, share=0.5, balance=False))
    assert Counter(one.reason for one in selection.dropped) == {"not_in_share": 15}


def test_the_share_is_taken_before_the_classes_are_balanced() -> None:
    selection = selected(traces(20, 10), share=0.5)
    assert [(step["reason"], step["after"]) for step in selection.steps] == [("teacher_disagrees", 30), ("not_in_share", 15), ("class_balance", 10)]
    assert [step["reason"] for step in selected(traces(2, 2)).steps] == ["teacher_disagrees", "class_balance"]


def test_the_least_certain_of_each_class_come_first_and_the_unknown_last() -> None:
    doubts = {f"q{i}": i / 100 for i in range(12) if i not in (9, 11)}
    selection = selected(traces(8, 4), doubts=doubts, share=0.5, by="uncertainty", balance=False)
    assert ids(selection) == ["q4", "q5", "q6", "q7", "q8", "q10"]


def test_a_small_share_leaves_one_question() -> None:
    assert len(selected(traces(3, 0), share=0.01, balance=False).kept) == 1
    assert selected([], share=0.5).kept == []


def doubtful(request: AnswerRequest) -> tuple[str, float]:
    return "yes", random.Random(request.question).uniform(0.02, 0.98)


async def test_a_run_that_probes_trains_on_what_the_student_was_least_certain_about(tmp_path: Path, services: Services) -> None:
    store, student = RunStore(tmp_path / "runs", "r1"), ScriptedStudent(services.student, doubtful)
    run = Run(parse_config(RAW, "t"), store, replace(services, student=student), Reporter())
    await run.until("sample")
    plain = Run(parse_config(RAW | {"data": RAW["data"] | {"probe": False}, "tracks": {"variants": {"unsure": {}, "any": {}}}}, "t"), *other(run))
    await plain.until("sample")
    train = store.read_records("samples/train.jsonl", Sample)
    assert train == plain.store.read_records("samples/train.jsonl", Sample), "asking changed what is sampled"
    assert [one.question_id for one in student.asked] == [sample.id for sample in train]
    manifest = store.manifest("sample")
    assert manifest and manifest["counts"][uncertainty.FILE] == {"asked": 30, "failed": 0}
    await run.until("tracks")
    doubts = uncertainty.known(store.read_records(uncertainty.FILE, Probe))
    own, unsure, some = ({row.sample_id for row in store.read_records(tracks.file_of("direct", name), Example)} for name in ("", "unsure", "any"))
    assert unsure < own and some < own and unsure != some
    assert sum(doubts[name] for name in unsure) / len(unsure) > sum(doubts[name] for name in own) / len(own)


def other(run: Run) -> tuple[RunStore, Services, Reporter]:
    return RunStore(run.store.folder.parent, "r2"), run.services, Reporter()


async def test_a_student_that_answers_no_probe_is_one_clear_error(tmp_path: Path, services: Services) -> None:
    def silent(request: AnswerRequest) -> tuple[str, float]:
        raise UpstreamRejected("nothing")

    run = Run(
        parse_config(RAW, "t"), RunStore(tmp_path / "runs", "r1"), replace(services, student=ScriptedStudent(services.student, silent)), Reporter()
    )
    with pytest.raises(InvalidInput, match=r"data\.probe: the student answered none of 30 questions"):
        await run.until("sample")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"data": RAW["data"] | {"probe": False}},
            "tracks.variants.unsure.by: the student is not asked about the training rows; set data.probe = true",
        ),
        ({"tracks": RAW["tracks"] | {"share": 0}}, "tracks.share: Input should be greater than 0"),
        ({"tracks": RAW["tracks"] | {"by": "chance"}}, "tracks.by: Input should be 'random' or 'uncertainty'"),
    ],
)
def test_a_share_that_cannot_be_taken_is_one_clear_error(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_config(RAW | change, "t")
    assert says in str(refused.value)


def test_sampling_by_uncertainty_has_the_probes_already() -> None:
    assert parse_config(RAW | {"data": RAW["data"] | {"probe": False, "sampling": "uncertainty"}}, "t").data.sampling == "uncertainty"
