"""Sampling by the student's own uncertainty: what it is asked, what is kept of it, which rows are taken."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_student import Rule, ScriptedStudent

from askback.contracts.errors import BudgetExceeded, InvalidInput, UpstreamRejected
from askback.contracts.records import Probe, Sample
from askback.contracts.student import AnswerMode, AnswerRequest, AnswerResponse
from askback.loop import uncertainty
from askback.loop.config import parse_config
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.sample import draw, least_certain, stratified
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.tasks import prompts, task_named

ROOT = Path(__file__).parents[2]
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "seed": 3,
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "train": 20, "dev": 8, "sampling": "uncertainty"},
    "adapters": [{"name": "direct", "track": "direct"}],
    "evaluate": {"conditions": ["base.direct"]},
}
HOTPOT: dict[str, Any] = {"task": "hotpotqa", "data": {"path": str(ROOT / "data/sample/hotpotqa"), "train": 6, "dev": 4, "sampling": "uncertainty"}}
TASK = task_named("strategyqa")


def p_yes_of(question: str) -> float:
    return random.Random(question).uniform(0.02, 0.98)


def by_question(request: AnswerRequest) -> tuple[str, float]:
    p = p_yes_of(request.question)
    return ("yes" if p > 0.5 else "no"), p


def make_run(tmp_path: Path, services: Services, rule: Rule = by_question, run_id: str = "r1", **change: Any) -> Run:
    raw = RAW | {name: value if name == "task" or not isinstance(RAW.get(name), dict) else RAW[name] | value for name, value in change.items()}
    student = ScriptedStudent(services.student, rule)
    return Run(parse_config(raw, "t"), RunStore(tmp_path / "runs", run_id), replace(services, student=student), Reporter())


def asked(run: Run) -> list[AnswerRequest]:
    assert isinstance(run.services.student, ScriptedStudent)
    return run.services.student.asked


def samples(run: Run, split: str = "train") -> list[Sample]:
    return run.store.read_records(f"samples/{split}.jsonl", Sample)


def probes(run: Run) -> list[Probe]:
    return run.store.read_records(uncertainty.FILE, Probe)


async def test_the_least_certain_rows_of_each_class_are_taken(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services)
    await run.until("sample")
    everything = {sample.id: sample for sample in draw(TASK, run.config.data.model_copy(update={"train": 10**6}), 3)[0]}
    assert sorted(request.question_id for request in asked(run)) == sorted(everything)
    assert {(request.mode, request.temperature) for request in asked(run)} == {(AnswerMode.DIRECT, 0)}
    taken = samples(run)
    expected = Counter(sample.answer for sample in stratified(TASK, list(everything.values()), 20, 3))
    assert Counter(sample.answer for sample in taken) == expected
    for answer, count in expected.items():
        doubts = sorted(abs(p_yes_of(sample.question) - 0.5) for sample in everything.values() if sample.answer == answer)
        assert sorted(abs(p_yes_of(sample.question) - 0.5) for sample in taken if sample.answer == answer) == doubts[:count]


async def test_each_probe_is_a_record(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services)
    await run.until("sample")
    questions = {request.question_id: request.question for request in asked(run)}
    for probe in probes(run):
        assert probe.p_yes == p_yes_of(questions[probe.sample_id])
        assert probe.uncertainty == pytest.approx(1 - 2 * abs(probe.p_yes - 0.5), abs=1e-6)
        assert (probe.error, probe.prompt_version) == (None, TASK.prompt_version("direct"))
    manifest = run.store.manifest("sample")
    assert manifest is not None
    assert dict(manifest["counts"])[uncertainty.FILE] == {"asked": len(questions), "failed": 0}
    assert uncertainty.FILE in manifest["sha256"]


async def test_a_pool_bounds_what_is_asked(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, data={"pool": 40})
    await run.until("sample")
    assert len(asked(run)) == 40
    assert {sample.id for sample in samples(run)} < {request.question_id for request in asked(run)}


async def test_a_killed_run_goes_on_without_asking_again(tmp_path: Path, services: Services) -> None:
    await (whole := make_run(tmp_path, services, run_id="whole")).until("sample")
    left = 30

    def killed(request: AnswerRequest) -> tuple[str, float]:
        nonlocal left
        left -= 1
        if left < 0:
            raise BudgetExceeded("the end")
        return by_question(request)

    run = make_run(tmp_path, services, killed)
    with pytest.raises(BudgetExceeded):
        await run.until("sample")
    path = run.store.path(uncertainty.FILE)
    path.write_bytes(path.read_bytes() + b'{"sample_id": "to')
    again = make_run(tmp_path, services)
    await again.until("sample")
    assert len(asked(again)) == len(asked(whole)) - 30
    assert run.store.path("samples/train.jsonl").read_bytes() == whole.store.path("samples/train.jsonl").read_bytes()


async def test_a_probe_that_fails_is_counted_and_its_row_comes_last(tmp_path: Path, services: Services) -> None:
    def rule(request: AnswerRequest) -> tuple[str | None, float | None]:
        if request.question_id in mute:
            return None, None
        if request.question_id in broken:
            raise UpstreamRejected("the engine refused")
        return by_question(request)

    everything = [sample.id for sample in draw(TASK, parse_config(RAW | {"data": RAW["data"] | {"train": 10**6}}, "t").data, 3)[0]]
    mute, broken = set(everything[:5]), set(everything[5:10])
    run = make_run(tmp_path, services, rule)
    await run.until("sample")
    failed = {probe.sample_id: probe.error for probe in probes(run) if probe.error}
    assert failed.keys() == mute | broken
    assert {failed[name] for name in broken} == {"UpstreamRejected: the engine refused"}
    assert all("neither yes nor no" in str(failed[name]) for name in mute)
    assert not {sample.id for sample in samples(run)} & failed.keys()


async def test_a_student_that_answers_nothing_is_one_clear_line_and_is_asked_again(tmp_path: Path, services: Services) -> None:
    with pytest.raises(InvalidInput, match=r"data\.sampling: the student answered none of 106 questions; the first error: UpstreamRejected: "):
        await make_run(tmp_path, services, lambda request: (None, None)).until("sample")
    run = make_run(tmp_path, services)
    await run.until("sample")
    assert len(samples(run)) == 20


async def test_an_edited_prompt_makes_what_was_said_worthless(tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, services)
    await run.until("sample")
    run.store.path("manifests", "sample.json").unlink()
    template = prompts.template
    monkeypatch.setattr(prompts, "template", lambda task, role: template(task, role) + " Please.")
    again = make_run(tmp_path, services)
    await again.until("sample")
    assert len(asked(again)) == len(asked(run))


async def test_open_tasks_are_asked_several_times_and_disagreement_counts(tmp_path: Path, services: Services) -> None:
    said: dict[int, list[str | None]] = {0: ["Rhine"] * 4, 1: ["the Rhine", "Rhine.", "Aare", "RHINE"], 2: ["Aare", "Rhine", "Reuss", None]}

    def rule(request: AnswerRequest) -> tuple[str | None, None]:
        assert request.seed is not None
        return said[len(request.question) % 3][request.seed - 3], None

    run = make_run(tmp_path, services, rule, **HOTPOT)
    await run.until("sample")
    questions = {request.question_id: request.question for request in asked(run)}
    assert len(asked(run)) == 4 * len(questions)
    assert {(request.temperature, request.seed) for request in asked(run)} == {(0.7, seed) for seed in (3, 4, 5, 6)}
    assert all(request.passages for request in asked(run))
    for probe in probes(run):
        kind = len(questions[probe.sample_id]) % 3
        assert probe.uncertainty == [0, 0.25, 0.75][kind]
        assert (probe.p_yes, len(probe.answers)) == (None, 4)
    assert len(samples(run)) == 6


async def test_the_number_of_sampled_answers_is_an_option(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, lambda request: ("Rhine", None), task="hotpotqa", data=HOTPOT["data"] | {"samples": 2, "pool": 7})
    await run.until("sample")
    assert len(asked(run)) == 14


async def test_passages_are_retrieved_before_the_student_is_asked(tmp_path: Path, services: Services) -> None:
    change: dict[str, Any] = {**HOTPOT, "data": HOTPOT["data"] | {"corpus": "corpus.jsonl"}, "harvest": {"retrieve": 2}}
    run = make_run(tmp_path, services, lambda request: ("Rhine", None), **change)
    await run.until("sample")
    assert {len(request.passages) for request in asked(run)} == {2}
    assert {len(sample.passages) for sample in samples(run)} == {2}


async def test_no_more_are_asked_at_a_time_than_the_harvest_may(tmp_path: Path, services: Services) -> None:
    now = most = 0

    class Slow(ScriptedStudent):
        async def answer(self, request: AnswerRequest) -> AnswerResponse:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().answer(request)

    run = make_run(tmp_path, services, task="hotpotqa", data=HOTPOT["data"], harvest={"concurrency": 3})
    slow = Slow(services.student, lambda request: ("Rhine", None))
    await replace(run, services=replace(services, student=slow)).until("sample")
    assert most == 3


async def test_by_default_the_student_is_asked_nothing(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, data={"sampling": "stratified"})
    await run.until("sample")
    assert asked(run) == []
    assert not run.store.path(uncertainty.FILE).exists()
    assert [sample.id for sample in samples(run)] == [sample.id for sample in draw(TASK, run.config.data, 3)[0]]


async def test_the_card_says_how_the_rows_were_sampled(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, data={"recordings": ["teacher.jsonl"]})
    run = replace(run, services=services)
    await run.until("tracks")
    card = json.loads(run.store.path("tracks/data_card.json").read_text())["sampling"]
    assert (card["by"], card["asked"], card["failed"]) == ("uncertainty", 106, 0)
    assert card["median_of_taken"] >= card["median_of_asked"]
    assert "that the student was least certain about, of 106 asked:" in run.store.path("tracks/README.md").read_text()


def test_the_seed_decides_between_equals() -> None:
    pool = [Sample(id=str(i), task="strategyqa", question="Q?", answer="yes" if i % 4 == 0 else "no") for i in range(100)]
    known = {sample.id: 0.5 for sample in pool} | {"1": 0.9, "2": 0.1}

    def taken(seed: int) -> list[str]:
        return [sample.id for sample in least_certain(TASK, pool, 20, seed, known)]

    assert taken(1) == taken(1)
    assert set(taken(1)) != set(taken(2))
    assert all("1" in taken(seed) and "2" not in taken(seed) for seed in range(5))
    assert Counter(pool[int(name)].answer for name in taken(1)) == {"no": 15, "yes": 5}
