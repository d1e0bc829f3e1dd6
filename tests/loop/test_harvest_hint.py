"""The second try with the gold answer as a hint, and the retry of replies that were of no use."""

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from scripted_teacher import Rule, ScriptedTeacher, replying, second

from askback.contracts.errors import BudgetExceeded, InvalidInput, NotFound
from askback.contracts.records import HarvestRecord, HarvestStage, Sample, Trace
from askback.contracts.teacher import ChatRequest
from askback.loop.config import parse_config
from askback.loop.harvest import rows_of, traces_of
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.tasks import prompts, task_named

ROOT = Path(__file__).parents[2]
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 12, "dev": 4},
    "harvest": {"hint": True},
    "adapters": [{"name": "direct", "track": "direct"}],
    "evaluate": {"conditions": ["base.direct"]},
}


def make_run(tmp_path: Path, services: Services, rule: Rule | None = None, retry_errors: bool = False, **harvest: object) -> Run:
    teacher = ScriptedTeacher(services.teacher, rule) if rule else services.teacher
    config = parse_config(RAW | {"harvest": RAW["harvest"] | harvest}, "t")
    return Run(config, RunStore(tmp_path / "runs", "r1"), replace(services, teacher=teacher), Reporter(), retry_errors)


def teacher_of(run: Run) -> ScriptedTeacher:
    assert isinstance(run.services.teacher, ScriptedTeacher)
    return run.services.teacher


def asked(run: Run) -> list[ChatRequest]:
    return teacher_of(run).asked


def records(run: Run, stage: HarvestStage) -> list[HarvestRecord]:
    return [one for one in run.store.read_records("harvest.jsonl", HarvestRecord) if one.stage is stage]


def traces(run: Run) -> dict[str, Trace]:
    rows = rows_of(gold(run).values(), run.store.read_records("harvest.jsonl", HarvestRecord))
    return {trace.sample.id: trace for trace in traces_of(rows)}


def gold(run: Run) -> dict[str, Sample]:
    return {sample.id: sample for sample in run.store.read_records("samples/train.jsonl", Sample)}


def counts(run: Run) -> dict[str, Any]:
    manifest = run.store.manifest("harvest")
    assert manifest is not None
    return dict(manifest["counts"])


def hinted_answer(request: ChatRequest) -> str:
    return request.messages[-1].content.split("Hint: the answer is ")[1].split(".")[0]


def always_yes(request: ChatRequest) -> str:
    """Says yes, and with a hint what the hint says."""
    return replying(hinted_answer(request), "So it follows.") if second(request) else replying("yes")


async def test_a_second_try_is_made_where_the_verdict_differs_and_takes_the_place_of_the_reply(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, always_yes)
    await run.until("tracks")
    wrong = {name for name, sample in gold(run).items() if sample.answer == "no"}
    assert 0 < len(wrong) < 12
    assert {one.sample_id for one in records(run, HarvestStage.HINT)} == wrong
    got = traces(run)
    assert {name for name, trace in got.items() if trace.hinted} == wrong
    for name, trace in got.items():
        assert trace.reply.answer == trace.sample.answer
        assert trace.reply.thought == ("So it follows." if name in wrong else "It is a fact.")
    assert (counts(run)["hints"], counts(run)["hinted"], counts(run)["failed"]) == (len(wrong), len(wrong), 0)
    card = json.loads(run.store.path("tracks/data_card.json").read_text())
    assert card["hints"]["tried"] == card["hints"]["used"] == len(wrong)
    assert card["cost"]["hint"]["cost_usd"] == pytest.approx(0.01 * len(wrong))
    assert f"Second tries with the gold answer as a hint: {len(wrong)}; {len(wrong)} of them in use" in run.store.path("tracks/README.md").read_text()


async def test_the_student_rewrites_with_the_reply_that_counts(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    run = make_run(tmp_path, services, always_yes)
    await run.until("harvest")
    read = Counter(message.content.split("\n")[0] for _, messages, _ in engine.calls for message in messages[2:])
    wrong = sum(sample.answer == "no" for sample in gold(run).values())
    assert read == {"1. So it follows.": wrong, "1. It is a fact.": 12 - wrong}


async def test_the_hint_stands_behind_the_teachers_own_prompt_and_asks_for_another_sample(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, always_yes)
    await run.until("harvest")
    firsts = {request.metadata["question_id"]: request for request in asked(run) if not second(request)}
    for request in filter(second, asked(run)):
        first = firsts[request.metadata["question_id"]]
        told = prompts.render("strategyqa", "hint", {"answer": "no"})
        assert request.messages[-1].content == f"{first.messages[-1].content}\n{told}"
        assert (list(first.metadata), request.metadata["sample_index"]) == (["question_id"], "1")


async def test_a_second_try_in_vain_leaves_the_first_reply(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, lambda request: replying("yes", "Still so." if second(request) else "It is a fact."))
    await run.until("harvest")
    assert records(run, HarvestStage.HINT)
    assert not any(trace.hinted for trace in traces(run).values())
    assert {trace.reply.thought for trace in traces(run).values()} == {"It is a fact."}
    assert (counts(run)["done"], counts(run)["hinted"]) == (12, 0)


async def test_a_second_try_that_fails_is_counted_and_costs_no_row(tmp_path: Path, services: Services) -> None:
    def rule(request: ChatRequest) -> str:
        if second(request):
            raise NotFound("no second recording")
        return replying("yes")

    run = make_run(tmp_path, services, rule)
    await run.until("tracks")
    tried = len(records(run, HarvestStage.HINT))
    assert (counts(run)["done"], counts(run)["failed"], counts(run)["errors"]) == (12, 0, {"hint: NotFound": tried})
    again = make_run(tmp_path, services, always_yes, retry_errors=True)
    await again.until("tracks")
    assert counts(again)["hinted"] == tried
    assert len(asked(again)) == tried  # what did not fail is not asked again


async def test_without_the_option_no_one_is_asked_twice(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, always_yes, hint=False)
    await run.until("harvest")
    assert len(asked(run)) == 12
    assert "hint" not in counts(run)["prompts"]


async def test_a_stopped_harvest_asks_no_hint_twice(tmp_path: Path, services: Services) -> None:
    left = 15

    def poor(request: ChatRequest) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise BudgetExceeded("budget 'total': nothing is left")
        return always_yes(request)

    run = make_run(tmp_path, services, poor, concurrency=3)
    with pytest.raises(BudgetExceeded):
        await run.until("harvest")
    assert records(run, HarvestStage.HINT)
    again = make_run(tmp_path, services, always_yes, concurrency=3)
    await again.until("harvest")
    wrong = sum(sample.answer == "no" for sample in gold(run).values())
    assert len(asked(again)) == 12 + wrong - 15
    assert Counter(one.sample_id for one in records(again, HarvestStage.HINT)).most_common(1)[0][1] == 1
    assert counts(again)["hinted"] == wrong


async def test_an_edited_hint_asks_second_tries_and_their_rewrites_alone(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch, engine: ScriptedEngine
) -> None:
    await make_run(tmp_path, services, always_yes).until("harvest")
    calls, template = len(engine.calls), prompts.template
    monkeypatch.setattr(prompts, "template", lambda task, role: template(task, role) + (" Please." if role == "hint" else ""))
    run = make_run(tmp_path, services, always_yes)
    await run.until("harvest")
    wrong = sum(sample.answer == "no" for sample in gold(run).values())
    assert (len(asked(run)), len(engine.calls) - calls) == (wrong, wrong)
    assert all(map(second, asked(run)))
    assert {one.prompt_version for one in records(run, HarvestStage.HINT)[wrong:]} == {task_named("strategyqa").prompt_version("hint")}


async def test_replay_takes_the_second_recording_and_else_keeps_the_first_reply(tmp_path: Path, services: Services) -> None:
    rows = [json.loads(line) for line in (ROOT / "data/sample/strategyqa/train.jsonl").read_text().splitlines()]
    wrong = [row for row in rows if row["answer"] is False][:2]
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "dev"):
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wrong))
    lines = [{"qid": row["qid"], "question": row["question"], "completion": replying("yes")} for row in wrong]
    lines.append(lines[0] | {"completion": replying("no", "The second recording.")})
    (data / "teacher.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = parse_config(RAW | {"data": {"path": str(data), "recordings": ["teacher.jsonl"], "train": 2, "dev": 2}}, "t")
    run = Run(config, RunStore(tmp_path / "runs", "r1"), services, Reporter())
    await run.until("harvest")
    got = traces(run)
    assert {name: trace.reply.thought for name, trace in got.items() if trace.hinted} == {wrong[0]["qid"]: "The second recording."}
    assert got[wrong[1]["qid"]].backend == "replay"
    assert counts(run)["errors"] == {"hint: NotFound": 1}


@pytest.mark.parametrize("hint", [False, True])
async def test_a_reply_of_no_use_is_asked_for_anew_and_no_other(tmp_path: Path, services: Services, hint: bool) -> None:
    run = make_run(tmp_path, services, lambda request: "That depends." if second(request) == hint else replying("yes"), hint=hint)
    with nullcontext() if hint else pytest.raises(InvalidInput, match="the first error: UpstreamRejected: the teacher's reply has no verdict"):
        await run.until("harvest")
    failed = {one.sample_id for one in run.store.read_records("harvest.jsonl", HarvestRecord) if one.error}
    assert failed == ({name for name, sample in gold(run).items() if sample.answer == "no"} if hint else gold(run).keys())
    teacher = teacher_of(run)
    before, teacher.rule = len(teacher.asked), always_yes
    assert teacher.fresh == []
    await Run(run.config, run.store, run.services, Reporter(), retry_errors=True).until("harvest")
    assert sorted(teacher.fresh) == sorted(failed)
    assert len(teacher.asked) - before == len(failed)
    assert (counts(run)["failed"], counts(run)["errors"]) == (0, {})


async def test_a_call_that_failed_without_a_reply_may_be_answered_from_the_cache(tmp_path: Path, services: Services) -> None:
    def down(request: ChatRequest) -> str:
        if request.metadata["question_id"] == first:
            raise NotFound("nothing recorded")
        return always_yes(request)

    run = make_run(tmp_path, services, down)
    await run.until("sample")
    first = next(iter(gold(run)))
    await run.until("harvest")
    assert counts(run)["failed"] == 1
    teacher_of(run).rule = always_yes
    await Run(run.config, run.store, run.services, Reporter(), retry_errors=True).until("harvest")
    assert (counts(run)["failed"], teacher_of(run).fresh) == (0, [])
