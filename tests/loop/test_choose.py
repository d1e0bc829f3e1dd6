"""A run that holds rows of train out chooses on them, and reads dev once, after that."""

import json
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from choosing_runs import CONDITIONS, DATA, RAW, TASK, choosing_run, knowing, rows
from scripted_engine import ScriptedEngine

from askback.contracts.client import StudentClient
from askback.contracts.errors import BudgetExceeded, InvalidInput, UpstreamRejected
from askback.contracts.records import Passage, Prediction
from askback.contracts.retriever import IndexRequest
from askback.contracts.student import AnswerRequest, AnswerResponse
from askback.loop.choose import chosen, held_out_run
from askback.loop.config import parse_config
from askback.loop.progress import Reporter
from askback.loop.promote import Promotion
from askback.loop.run import Run
from askback.loop.sample import draw, draw_pool, held_out
from askback.loop.services import Services
from askback.loop.status import status_of
from askback.loop.store import RunStore
from askback.tasks import prompts


def ids(samples: list[Any]) -> set[str]:
    return {sample.id for sample in samples}


def test_held_out_rows_are_never_trained_on_and_stay_whatever_the_training_rows_are() -> None:
    data = parse_config(RAW, "t").data
    kept, (train, dev) = held_out(TASK, data, 3), draw(TASK, data, 3)
    assert (len(kept), len(train), len(dev)) == (40, 30, 20)
    assert abs(Counter(sample.answer for sample in kept)["yes"] - 20) <= 1
    assert not ids(kept) & ids(train) and not ids(kept) & ids(draw_pool(TASK, data, 3)[0])
    more = data.model_copy(update={"train": 1000, "dev": 3})
    assert held_out(TASK, more, 3) == kept and not ids(kept) & ids(draw(TASK, more, 3)[0])
    assert ids(held_out(TASK, data, 4)) != ids(kept)


def test_without_held_out_rows_the_training_rows_are_those_that_they_were() -> None:
    data = parse_config(RAW | {"data": RAW["data"] | {"held_out": 0, "train": 1000}}, "t").data
    assert held_out(TASK, data, 3) == []
    assert len(draw(TASK, data, 3)[0]) == 106


def test_too_many_held_out_rows_are_refused() -> None:
    data = parse_config(RAW | {"data": RAW["data"] | {"held_out": 106}}, "t").data
    with pytest.raises(InvalidInput, match=r"data\.held_out: 106 rows leave none of the 106 of train"):
        draw(TASK, data, 3)


async def test_the_choice_is_made_on_held_out_rows_even_where_dev_says_otherwise(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    knowing(engine, train="direct", dev="context")
    run = choosing_run(tmp_path, services)
    await run.until("choose")
    beside = held_out_run(run.store)
    assert beside.folder.name == "r1.held-out"
    assert [sample.id for sample in rows(run, "held_out")] == [json.loads(line)["id"] for line in beside.path("samples/dev.jsonl").open()]
    assert {file.stem for file in beside.path("predictions").glob("*.jsonl")} == set(CONDITIONS)
    assert beside.path("report.html").exists() and not run.store.path("predictions").exists()
    choice = Promotion.model_validate_json(run.store.path("choice.json").read_text())
    assert (choice.adapter, choice.condition) == ("direct", "direct.direct") and "n = 40" in choice.reason

    await choosing_run(tmp_path, services).until("report")
    promotion = Promotion.model_validate_json(run.store.path("promotion.json").read_text())
    assert promotion.adapter == "direct"
    assert promotion.reason.startswith("chosen on 40 held-out training rows: direct.direct gains +")
    assert "; on dev, read once: direct.direct gains +0.0 points over base.direct" in promotion.reason and "n = 20" in promotion.reason
    assert (await services.student.adapters()).default.startswith("r1-direct-")
    best = max(json.loads(run.store.path("scores.json").read_text())["conditions"], key=lambda one: one["metrics"][0]["value"])
    assert best["condition"]["adapter"] == "context"
    manifest = run.store.manifest("evaluate")
    assert manifest and manifest["counts"]["dev_read"]["choice_sha256"] == sha256(run.store.path("choice.json").read_bytes()).hexdigest()
    assert run.store.path("report.html").exists()
    assert [stage.name for stage in status_of(run.store).stages if stage.complete][3:6] == ["train", "choose", "evaluate"]


async def test_what_may_be_promoted_can_be_narrowed(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    knowing(engine, train="direct", dev="direct")
    run = choosing_run(tmp_path, services, promote={"among": ["context.direct"]})
    await run.until("choose")
    choice = Promotion.model_validate_json(run.store.path("choice.json").read_text())
    assert (choice.adapter, choice.reason) == ("base", "none of context.direct is shown to be better than base.direct at n = 40")


async def test_held_out_rows_may_be_measured_under_more_conditions_than_dev(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    knowing(engine, train="direct", dev="direct")
    sections = {"choose": {"conditions": CONDITIONS}, "evaluate": {"conditions": ["base.direct"]}}
    run = choosing_run(tmp_path, services, **sections)
    await run.until("promote")
    assert [file.stem for file in run.store.path("predictions").glob("*.jsonl")] == ["base.direct"]
    promotion = Promotion.model_validate_json(run.store.path("promotion.json").read_text())
    assert promotion.adapter == "direct" and promotion.reason.endswith("on dev, read once: direct.direct was not measured beside base.direct")


async def test_dev_may_stay_unread(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    knowing(engine, train="direct", dev="direct")
    run = choosing_run(tmp_path, services, choose={"conditions": CONDITIONS}, evaluate={"conditions": []})
    await run.until("report")
    promotion = Promotion.model_validate_json(run.store.path("promotion.json").read_text())
    assert promotion.adapter == "direct" and promotion.reason.endswith("; dev was not read")
    assert not run.store.path("predictions").exists()
    assert [stage.name for stage in status_of(run.store).stages] == ["sample", "harvest", "tracks", "train", "choose", "promote"]


async def test_questions_that_overlap_with_held_out_rows_are_in_no_track(tmp_path: Path, services: Services) -> None:
    run = choosing_run(tmp_path, services)
    await run.until("harvest")
    copied, victim = rows(run, "train")[0], rows(run, "held_out")
    victim[0] = victim[0].model_copy(update={"question": copied.question})
    run.store.write_records("samples/held_out.jsonl", victim)
    await run.until("tracks")
    dropped = [json.loads(line) for line in run.store.path("tracks/dropped.jsonl").open()]
    assert {"sample_id": copied.id, "reason": "overlaps_dev"} in dropped


class Flaky(StudentClient):
    """The student, which after `left` answers ends the stage, or refuses each answer where it `refuses`."""

    def __init__(self, student: StudentClient, left: int, refuses: bool = False) -> None:
        super().__init__(student._http)
        self.left, self.refuses = left, refuses

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        self.left -= 1
        if self.left < 0:
            raise (UpstreamRejected if self.refuses else BudgetExceeded)("no more answers")
        return await super().answer(request)


async def test_a_choice_that_was_stopped_goes_on_where_it_was(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    one_by_one = {"evaluate": RAW["evaluate"] | {"concurrency": 1}}
    await choosing_run(tmp_path, services, **one_by_one).until("train")
    run = choosing_run(tmp_path, replace(services, student=Flaky(services.student, 50)), **one_by_one)
    with pytest.raises(BudgetExceeded):
        await run.until("choose")
    assert not run.store.path("choice.json").exists()
    calls = len(engine.calls)
    await choosing_run(tmp_path, services, **one_by_one).until("choose")
    assert len(engine.calls) - calls == 3 * 40 - 50


async def test_failed_answers_are_tried_again_until_dev_is_read(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    await choosing_run(tmp_path, services).until("train")
    await choosing_run(tmp_path, replace(services, student=Flaky(services.student, 100, refuses=True))).until("choose")
    beside = held_out_run(choosing_run(tmp_path, services).store)

    def failed() -> int:
        return sum(bool(one.error) for name in CONDITIONS for one in beside.read_records(f"predictions/{name}.jsonl", Prediction))

    assert failed() == 20
    calls = len(engine.calls)
    await choosing_run(tmp_path, services, retry_errors=True).until("choose")
    assert (failed(), len(engine.calls) - calls) == (0, 20)

    await choosing_run(tmp_path, replace(services, student=Flaky(services.student, 55, refuses=True))).until("report")
    before, calls = beside.path("scores.json").stat().st_mtime_ns, len(engine.calls)
    run = choosing_run(tmp_path, services, retry_errors=True)
    read = run.store.manifest("evaluate")["counts"]["dev_read"]  # type: ignore[index]
    await run.until("report")
    assert (beside.path("scores.json").stat().st_mtime_ns, len(engine.calls) - calls) == (before, 5)
    assert run.store.manifest("evaluate")["counts"]["dev_read"] == read  # type: ignore[index]


async def test_after_dev_was_read_nothing_before_it_is_done_again(tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    await choosing_run(tmp_path, services).until("evaluate")
    sealed = "cannot be done again: dev has been read with this choice; give a new --id"
    for name in ("sample", "harvest", "tracks", "train", "choose"):
        with pytest.raises(InvalidInput, match=f"run r1: {name} {sealed}"):
            await choosing_run(tmp_path, services, redo=(name,)).until("report")
    run = choosing_run(tmp_path, services)
    train = run.store.path("manifests", "train.json")
    text = train.read_text()
    train.unlink()
    with pytest.raises(InvalidInput, match=f"run r1: train {sealed}"):
        await run.until("report")
    train.write_text(text)
    harvest = run.store.path("manifests", "harvest.json")
    text = harvest.read_text()
    harvest.write_text(text.replace('"errors": {}', '"errors": {"teacher: X": 1}'))
    assert harvest.read_text() != text
    await choosing_run(tmp_path, services, retry_errors=True).until("report")
    assert run.store.manifest("evaluate"), "only what reads dev is tried again"
    harvest.write_text(text)
    with monkeypatch.context() as edited:
        template = prompts.template
        edited.setattr(prompts, "template", lambda task, role: template(task, role) + (" Please." if role == "rewrite" else ""))
        with pytest.raises(InvalidInput, match=f"run r1: harvest {sealed}"):
            await run.until("report")
    await run.until("report")
    await choosing_run(tmp_path, services, redo=("report",)).until("report")


async def test_before_dev_is_read_all_can_be_done_again(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    await choosing_run(tmp_path, services).until("choose")
    calls = len(engine.calls)
    await choosing_run(tmp_path, services, redo=("train", "choose")).until("choose")
    assert len(engine.calls) - calls == 3 * 40


async def test_dev_is_not_read_without_the_choice_nor_promoted_with_another(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    run = choosing_run(tmp_path, services)
    await run.until("choose")
    choice, calls = run.store.path("choice.json"), len(engine.calls)
    text = choice.read_text()
    choice.unlink()
    with pytest.raises(InvalidInput, match=r"run r1: choice\.json is missing"):
        await run.until("evaluate")
    assert len(engine.calls) == calls
    choice.write_text(text)
    await run.until("score")
    choice.write_text(text.replace('"adapter": "base"', '"adapter": "direct"'))
    assert choice.read_text() != text
    with pytest.raises(InvalidInput, match=r"choice\.json was changed after dev was read"):
        await run.until("promote")
    choice.unlink()
    with pytest.raises(InvalidInput, match=r"run r1: choice\.json is missing; put it back"):
        await run.until("promote")


async def test_a_plain_run_has_no_choice_to_make(tmp_path: Path, services: Services) -> None:
    run = choosing_run(tmp_path, services, data=RAW["data"] | {"held_out": 0})
    with pytest.raises(InvalidInput, match=r"data\.held_out: 0 rows are held out"):
        await run.until("choose")
    await run.until("promote")
    assert not held_out_run(run.store).folder.exists() and not run.store.path("samples/held_out.jsonl").exists()


async def test_the_held_out_part_is_no_run_to_continue(tmp_path: Path, services: Services) -> None:
    part = Run(parse_config(RAW, "t"), RunStore(tmp_path / "runs", "r1.held-out"), services, Reporter())
    with pytest.raises(InvalidInput, match=r"'r1\.held-out' is the held-out part of run 'r1'"):
        await part.until("sample")
    long = Run(parse_config(RAW, "t"), RunStore(tmp_path / "runs", "r" * 120), services, Reporter())
    with pytest.raises(InvalidInput, match="at most 119 characters"):
        await long.until("sample")


async def test_held_out_rows_read_retrieved_passages_too(tmp_path: Path, services: Services) -> None:
    raw = {
        "name": "h",
        "task": "hotpotqa",
        "data": {"path": str(DATA.parent / "hotpotqa"), "recordings": ["teacher.jsonl"], "index": "lakes", "train": 3, "dev": 4, "held_out": 3},
        "harvest": {"retrieve": 1},
        "adapters": [{"name": "direct", "track": "direct"}],
        "evaluate": {"conditions": ["base.direct"]},
    }
    lake = Passage(id="l", title="Lake", sentences=["A lake is a lake."])
    await services.retriever.index(IndexRequest(name="lakes", passages=[lake]))
    run = Run(parse_config(raw, "h"), RunStore(tmp_path / "runs", "r1"), services, Reporter())
    await run.until("sample")
    assert {split: len(rows(run, split)) for split in ("train", "dev", "held_out")} == {"train": 3, "dev": 4, "held_out": 3}
    assert all(sample.passages == [lake] for split in ("train", "dev", "held_out") for sample in rows(run, split))
    assert len(ids([*rows(run, "train"), *rows(run, "dev"), *rows(run, "held_out")])) == 10


async def test_where_nobody_was_chosen_no_gain_on_dev_is_told(tmp_path: Path, services: Services) -> None:
    run = choosing_run(tmp_path, services)
    await run.until("score")
    choice = run.store.path("choice.json")
    for standing in ("base", "previous"):
        choice.write_text(Promotion(adapter=standing, condition="base.direct", reason="none is better").model_dump_json())
        assert chosen(run.config, run.store).reason == "chosen on 40 held-out training rows: none is better"
