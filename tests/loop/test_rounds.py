"""Rounds of self-improvement: the student that an earlier run promoted drafts and asks, and is the one to beat."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from scripted_student import ScriptedStudent

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestRecord, HarvestStage, Probe, Sample
from askback.contracts.student import DefaultAdapterRequest
from askback.loop import uncertainty
from askback.loop.config import overridden, parse_config
from askback.loop.previous import FILE, PreviousStudent, previous_student
from askback.loop.progress import Reporter
from askback.loop.promote import Promotion
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore

ROOT = Path(__file__).parents[2]
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "seed": 3,
    "base_model": "Smol",
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 40, "dev": 20},
    "adapters": [{"name": "direct", "track": "direct"}],
    "evaluate": {"conditions": ["base.direct", "direct.direct"]},
}
MEASURED = {"evaluate": {"conditions": ["base.direct", "previous.direct", "previous.assisted.teacher", "direct.direct"]}}
TO_BEAT = MEASURED | {"promote": {"baseline": "previous.direct"}}

Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path, services: Services) -> Make:
    def made(run_id: str, previous: str = "", **change: Any) -> Run:
        return Run(parse_config(RAW | {"previous": previous} | change, "t"), RunStore(tmp_path / "runs", run_id), services, Reporter())

    return made


@pytest.fixture
async def first(make: Make) -> Run:
    """Run `r1` with a trained adapter, which it promoted."""
    run = make("r1")
    await run.until("train")
    decide(run, "direct")
    return run


def decide(run: Run, adapter: str, file: str = "promotion.json") -> None:
    run.store.write_text(file, Promotion(adapter=adapter, condition="c", reason="r").model_dump_json())


def weights(run: Run, adapter: str = "direct") -> str:
    return sha256(run.store.path("adapters", adapter, "adapter_model.safetensors").read_bytes()).hexdigest()


def models(engine: ScriptedEngine, since: int = 0) -> set[str]:
    return {call[0] for call in engine.calls[since:]}


def right_for(*known: str) -> Callable[[str, str], float]:
    """An engine whose models named by `known` answer every question of the sample data as gold does, the others the contrary.

    A rewrite's last message has no question; it gets one answer from all who know and one from all others.
    """
    rows = [json.loads(line) for split in ("train", "dev") for line in (ROOT / f"data/sample/strategyqa/{split}.jsonl").read_text().splitlines()]

    def p_yes(model: str, text: str) -> float:
        gold = next((row["answer"] for row in rows if row["question"] in text), False)
        return 0.9 if gold == model.startswith(known) else 0.1

    return p_yes


async def test_the_promoted_adapter_drafts_asks_and_rewrites(make: Make, first: Run, engine: ScriptedEngine) -> None:
    engine._p_yes = right_for("r1-direct")
    calls, run = len(engine.calls), make("r2", "r1")
    await run.until("harvest")
    served = f"r1-direct-{weights(first)[:6]}"
    assert models(engine, calls) == {served}
    assert engine.paths[served].endswith("r1/adapters/direct")
    records = run.store.read_records("harvest.jsonl", HarvestRecord)
    assert {record.model for record in records if record.stage in (HarvestStage.DRAFT, HarvestStage.REWRITE)} == {served}
    counts = run.store.manifest("harvest")["counts"]  # type: ignore[index]
    assert counts["previous"] == {"run": "r1", "adapter": "direct", "sha256": weights(first)}
    assert (counts["drafts"], counts["drafts_right"]) == (40, 40)


async def test_a_run_without_an_earlier_one_is_as_ever_and_says_how_many_drafts_were_right(first: Run, engine: ScriptedEngine) -> None:
    counts = first.store.manifest("harvest")["counts"]  # type: ignore[index]
    gold = {sample.id: sample.answer for sample in first.store.read_records("samples/train.jsonl", Sample)}
    drafts = [record for record in first.store.read_records("harvest.jsonl", HarvestRecord) if record.draft]
    assert counts["drafts_right"] == sum(record.draft.answer == gold[record.sample_id] for record in drafts if record.draft) < counts["drafts"] == 40
    assert "previous" not in counts
    assert not first.store.path(FILE).exists()
    assert models(engine) == {"student-base"}


async def test_base_promoted_means_base_whatever_the_service_promotes(make: Make, first: Run, engine: ScriptedEngine, services: Services) -> None:
    await make("r2", "r1").until("harvest")
    (served,) = engine.served - {"student-base"}
    await services.student.promote(DefaultAdapterRequest(name=served))
    decide(first, "base")
    calls, run = len(engine.calls), make("r3", "r1")
    await run.until("harvest")
    assert models(engine, calls) == {"student-base"}
    assert run.store.manifest("harvest")["counts"]["previous"] == {"run": "r1", "adapter": "base", "sha256": ""}  # type: ignore[index]


async def test_a_choice_on_held_out_rows_goes_before_the_promotion(make: Make, first: Run) -> None:
    decide(first, "base", "choice.json")
    run = make("r2", "r1")
    assert previous_student(run.config, run.store) == PreviousStudent(run="r1", adapter="base")


async def test_the_least_certain_rows_are_those_of_the_previous_student(make: Make, first: Run) -> None:
    run = make("r2", "r1", data=RAW["data"] | {"sampling": "uncertainty", "pool": 50})
    student = ScriptedStudent(run.services.student, lambda request: ("yes", 0.6))
    run = replace(run, services=replace(run.services, student=student))
    await run.until("sample")
    assert [request.adapter for request in student.asked] == [f"r1-direct-{weights(first)[:6]}"] * 50
    assert len(run.store.read_records(uncertainty.FILE, Probe)) == 50


async def test_the_earlier_student_is_measured_and_a_better_one_takes_its_place(make: Make, first: Run, engine: ScriptedEngine) -> None:
    engine._p_yes = right_for("r2-")
    run = make("r2", "r1", **TO_BEAT)
    await run.until("report")
    assert {path.name for path in run.store.path("predictions").glob("*.jsonl")} == {f"{name}.jsonl" for name in TO_BEAT["evaluate"]["conditions"]}
    assert f"r1-direct-{weights(first)[:6]}" in models(engine)
    decided = json.loads(run.store.path("promotion.json").read_text())
    assert (decided["adapter"], decided["condition"]) == ("direct", "direct.direct")
    assert "over previous.direct" in decided["reason"]
    assert (await run.services.student.adapters()).default == f"r2-direct-{weights(run)[:6]}"


async def test_an_earlier_student_that_none_beats_stays_for_the_next_round(make: Make, first: Run, engine: ScriptedEngine) -> None:
    engine._p_yes = right_for("r1-", "r2-")
    run = make("r2", "r1", **TO_BEAT)
    await run.until("report")
    decided = json.loads(run.store.path("promotion.json").read_text())
    assert (decided["adapter"], decided["reason"]) == ("previous", "no adapter is shown to be better than previous.direct at n = 20")
    assert (await run.services.student.adapters()).default == f"r1-direct-{weights(first)[:6]}"
    third = make("r3", "r2")
    assert previous_student(third.config, third.store) == PreviousStudent(run="r1", adapter="direct", sha256=weights(first))
    first.store.path("adapters/direct/adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(
        InvalidInput, match=r"previous: run r2 kept the student r1/direct \(weights \w{6}\), and r1 has r1/direct \(weights \w{6}\) now"
    ):
        await third.until("sample")


async def undecided(run: Run) -> None:
    run.store.path("promotion.json").unlink()


async def weightless(run: Run) -> None:
    run.store.path("adapters/direct/adapter_model.safetensors").unlink()


async def unreadable(run: Run) -> None:
    run.store.path("promotion.json").write_text("{")


async def untouched(run: Run) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "previous", "change", "message"),
    [
        (untouched, "r0", {}, r"previous: no run 'r0' in .*/runs; `ls .*/runs` shows the runs"),
        (untouched, "r2", {}, "previous: run r2 cannot start from itself"),
        (undecided, "r1", {}, "previous: run r1 has promoted nothing yet; bring it to its end first, with `--id r1`"),
        (weightless, "r1", {}, "previous: run r1 promoted 'direct', and .*adapter_model.safetensors cannot be read"),
        (unreadable, "r1", {}, r"previous: .*r1/promotion.json is no readable Promotion"),
        (untouched, "r1", {"base_model": "Other"}, "previous: run r1 has base_model 'Smol', this one 'Other'; name a run of the same base model"),
        (
            untouched,
            "r1",
            {"task": "hotpotqa", "data": {"path": str(ROOT / "data/sample/hotpotqa"), "train": 6, "dev": 4}},
            "previous: run r1 is of task 'strategyqa', this one of 'hotpotqa'",
        ),
    ],
)
async def test_a_wrong_earlier_run_is_told_before_anything_is_asked(
    make: Make, first: Run, engine: ScriptedEngine, spoil: Callable[[Run], Any], previous: str, change: dict[str, Any], message: str
) -> None:
    await spoil(first)
    calls, run = len(engine.calls), make("r2", previous, **change)
    with pytest.raises(InvalidInput, match=message) as raised:
        await run.until("report")
    assert "\n" not in str(raised.value)
    assert len(engine.calls) == calls
    assert not run.store.path("config.toml").exists()


async def test_a_harvest_goes_on_with_its_own_student_alone(make: Make, first: Run, engine: ScriptedEngine) -> None:
    run = make("r2", "r1")
    await run.until("harvest")
    path = run.store.path("harvest.jsonl")
    whole = path.read_text().splitlines(keepends=True)
    run.store.path("manifests/harvest.json").unlink()
    path.write_text("".join(whole[:30]))
    decide(first, "base")
    calls = len(engine.calls)
    with pytest.raises(
        InvalidInput, match=r"previous: run r2 was begun with r1/direct \(weights \w{6}\), and r1 promotes r1/base now; give a new --id"
    ):
        await make("r2", "r1").until("harvest")
    with pytest.raises(InvalidInput, match="run r2 was started with another `previous`"):
        await make("r2").until("harvest")
    assert len(engine.calls) == calls
    decide(first, "direct")
    await make("r2", "r1").until("harvest")
    redone = [json.loads(line)["stage"] for line in whole[30:]]
    assert len(engine.calls) - calls == 2 * redone.count("draft") + redone.count("rewrite")


async def test_a_finished_run_needs_the_earlier_one_no_more(make: Make, first: Run) -> None:
    await make("r2", "r1", **MEASURED).until("promote")
    shutil.rmtree(first.store.folder)
    await (run := make("r2", "r1", **MEASURED)).until("report")
    assert run.store.path("report.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (MEASURED, "evaluate.conditions: previous.direct is of the student of an earlier run; name that run with `previous = RUN_ID` at the top"),
        ({"promote": {"baseline": "previous.direct"}}, "promote.baseline: previous.direct is of the student of an earlier run"),
        ({"adapters": [{"name": "previous", "track": "direct"}]}, "the name 'previous' is taken"),
        ({"adapters": [{"name": "previous", "track": "direct", "seeds": [1, 2]}]}, "is taken"),
        ({"previous": "../r1"}, "previous: "),
        ({"previous": "r1", "evaluate": {"conditions": ["other.direct"]}}, "no adapter 'other'"),
    ],
)
def test_the_name_is_reserved_for_a_run_that_has_one(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_config(RAW | change, "t")
    assert message in str(raised.value)


def test_the_earlier_run_is_an_option() -> None:
    config = parse_config(RAW, "t")
    changed = overridden(config, previous="r1")
    assert (config.previous, changed.previous) == ("", "r1")
    assert overridden(changed) == changed
