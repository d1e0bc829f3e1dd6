"""The whole loop in one process: real service faces, real prompts, real scoring; a scripted engine and no training."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine

from askback.contracts.client import TeacherClient
from askback.contracts.errors import BudgetExceeded, InvalidInput, NotFound
from askback.contracts.records import Example, HarvestRecord, HarvestStage, Passage, Prediction, Sample
from askback.contracts.retriever import IndexRequest
from askback.contracts.teacher import ChatReply, ChatRequest
from askback.loop.config import RunConfig, parse_config
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.stages import STAGES
from askback.loop.store import RunStore
from askback.tasks import prompts, task_named

ROOT = Path(__file__).parents[2]
RAW = {
    "name": "t",
    "task": "strategyqa",
    "seed": 3,
    "base_model": "Smol",
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 106, "dev": 20},
    "adapters": [
        {"name": "direct", "track": "direct"},
        {"name": "dialogue", "track": "dialogue"},
        {"name": "dpo", "track": "preference", "method": "dpo", "init": "direct"},
    ],
    "evaluate": {"conditions": ["base.direct", "base.cot", "direct.direct", "dialogue.assisted.teacher", "dpo.direct"]},
}


def make_run(tmp_path: Path, services: Services, run_id: str = "r1", config: RunConfig | None = None, retry_errors: bool = False) -> Run:
    return Run(config or parse_config(RAW, "t"), RunStore(tmp_path / "runs", run_id), services, Reporter(), retry_errors)


def guess(model: str, text: str) -> float:
    """An engine that guesses, differently by adapter, always the same for the same text."""
    return random.Random(model.split("-")[-1] + text).uniform(0.05, 0.95)


async def test_the_loop_runs_to_its_report_and_a_second_time_does_nothing(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    engine._p_yes = guess
    run = make_run(tmp_path, services)
    await run.until("report")
    for name in STAGES:
        assert run.store.manifest(name), name
    for name in ("config.toml", "harvest.jsonl", "scores.json", "promotion.json", "report.html", "report.md", "slides.pptx", "tracks/data_card.json"):
        assert run.store.path(name).stat().st_size > 0, name
    assert list(run.store.path("figures").glob("*.svg"))
    assert all(run.store.path("tracks", f"{track}.jsonl").exists() for track in ("direct", "cot", "context", "dialogue", "preference"))
    calls = len(engine.calls)
    await make_run(tmp_path, services).until("report")
    assert len(engine.calls) == calls


async def test_every_row_is_accounted_for_and_its_teacher_is_named(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services)
    await run.until("tracks")
    records = run.store.read_records("harvest.jsonl", HarvestRecord)
    assert len(records) == 3 * 106
    backends = {record.backend for record in records if record.stage is HarvestStage.TEACHER}
    assert backends == {"replay", "gold"}
    counts = run.store.manifest("harvest")["counts"]  # type: ignore[index]
    assert (counts["rows"], counts["done"], counts["failed"]) == (106, 106, 0)
    assert sum(counts["backends"].values()) == 106


async def test_a_stopped_harvest_goes_on_where_it_was(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    run = make_run(tmp_path, services)
    await run.until("harvest")
    path = run.store.path("harvest.jsonl")
    whole = path.read_text().splitlines(keepends=True)
    run.store.path("manifests", "harvest.json").unlink()
    path.write_text("".join(whole[:100]) + whole[100][:30])  # killed while it wrote line 101
    calls = len(engine.calls)
    await make_run(tmp_path, services).until("harvest")
    assert {json.dumps(json.loads(line)["sample_id"]) + json.loads(line)["stage"] for line in path.read_text().splitlines()} == {
        json.dumps(json.loads(line)["sample_id"]) + json.loads(line)["stage"] for line in whole
    }
    redone = [json.loads(line)["stage"] for line in whole[100:]]
    assert len(engine.calls) - calls == 2 * redone.count("draft") + redone.count("rewrite")


async def test_a_failed_row_is_a_counted_record_and_can_be_tried_again(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    good, engine.questions = engine.questions, "I ask nothing."
    with pytest.raises(InvalidInput, match="no row was harvested; the first error: UpstreamRejected: the student wrote no question"):
        await make_run(tmp_path, services).until("report")
    engine.questions = good
    run = make_run(tmp_path, services, retry_errors=True)
    await run.until("tracks")
    assert run.store.manifest("harvest")["counts"]["failed"] == 0  # type: ignore[index]


class PoorTeacher(TeacherClient):
    """The teacher until its budget ends after `left` answers."""

    def __init__(self, teacher: TeacherClient, left: int) -> None:
        super().__init__(teacher._http)
        self.left, self.runs = left, set[str]()

    async def chat(self, request: ChatRequest, run: str = "", *, fresh: bool = False) -> ChatReply:
        self.runs.add(run)
        self.left -= 1
        if self.left < 0:
            raise BudgetExceeded("budget 'total': nothing is left")
        return await super().chat(request, run, fresh=fresh)


async def test_a_budget_that_ends_stops_the_harvest_and_costs_no_row(tmp_path: Path, services: Services) -> None:
    poor = PoorTeacher(services.teacher, left=40)
    run = make_run(tmp_path, replace(services, teacher=poor))
    with pytest.raises(BudgetExceeded, match="nothing is left"):
        await run.until("harvest")
    assert poor.runs == {"r1"}
    records = run.store.read_records("harvest.jsonl", HarvestRecord)
    assert not [record for record in records if record.error]
    assert sum(record.stage is HarvestStage.TEACHER for record in records) == 40
    richer = make_run(tmp_path, services)
    await richer.until("harvest")
    assert richer.store.manifest("harvest")["counts"]["done"] == 106  # type: ignore[index]


async def test_an_edited_prompt_asks_only_those_who_read_it_again(
    tmp_path: Path, services: Services, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_run(tmp_path, services).until("tracks")
    calls, template = len(engine.calls), prompts.template
    monkeypatch.setattr(prompts, "template", lambda task, role: template(task, role) + (" Please." if role == "rewrite" else ""))
    nobody = PoorTeacher(services.teacher, left=0)
    run = make_run(tmp_path, replace(services, teacher=nobody))
    await run.until("tracks")
    assert (len(engine.calls) - calls, nobody.runs) == (106, set())
    records = run.store.read_records("harvest.jsonl", HarvestRecord)
    assert len(records) == 4 * 106
    assert {record.prompt_version for record in records[3 * 106 :]} == {task_named("strategyqa").prompt_version("rewrite")}
    await make_run(tmp_path, services).until("tracks")
    assert len(engine.calls) - calls == 106


@pytest.mark.parametrize(("form", "asked"), [("answer-first", "cot-answer-first"), ("multitask", "label")])
async def test_a_form_of_cot_is_asked_as_it_was_trained(tmp_path: Path, services: Services, engine: ScriptedEngine, form: str, asked: str) -> None:
    config = parse_config(RAW | {"tracks": {"cot": form}, "evaluate": {"conditions": ["base.cot"]}}, "t")
    run = make_run(tmp_path, services, config=config)
    await run.until("tracks")
    before = len(engine.calls)
    await run.until("evaluate")
    sample = run.store.read_records("samples/dev.jsonl", Sample)[0]
    expected = [message.model_dump() for message in task_named("strategyqa").prompt(asked, sample.question)]
    assert expected in [[message.model_dump() for message in call[1]] for call in engine.calls[before:]]
    trained = run.store.read_records("tracks/cot.jsonl", Example)[0]
    question = next(s.question for s in run.store.read_records("samples/train.jsonl", Sample) if s.id == trained.sample_id)
    assert trained.prompt == task_named("strategyqa").prompt(asked, question)


async def test_a_teacher_reply_without_verdict_costs_its_row_only(tmp_path: Path, services: Services) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "dev"):
        lines = (ROOT / "data/sample/strategyqa" / f"{split}.jsonl").read_text().splitlines(keepends=True)
        (data / f"{split}.jsonl").write_text("".join(lines[:20]))
    first = json.loads((data / "train.jsonl").read_text().splitlines()[0])
    (data / "teacher.jsonl").write_text(json.dumps({"qid": first["qid"], "question": first["question"], "completion": "That depends."}) + "\n")
    raw = RAW | {"data": {"path": str(data), "recordings": ["teacher.jsonl"], "train": 20, "dev": 20}}
    run = make_run(tmp_path, services, config=parse_config(raw, "t"))
    await run.until("tracks")
    errors = [record for record in run.store.read_records("harvest.jsonl", HarvestRecord) if record.error]
    assert [(record.sample_id, record.stage, record.backend) for record in errors] == [(first["qid"], "teacher", "replay")]
    assert "no verdict" in str(errors[0].error)
    assert run.store.manifest("harvest")["counts"]["done"] == 19  # type: ignore[index]


async def test_predictions_keep_their_exchange_and_adapters_their_own_names(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    run = make_run(tmp_path, services)
    await run.until("evaluate")
    assisted = run.store.read_records("predictions/dialogue.assisted.teacher.jsonl", Prediction)
    assert len(assisted) == 20
    assert all(prediction.draft and prediction.exchanges for prediction in assisted)
    assert not any("answer is" in exchange.answer for prediction in assisted for exchange in prediction.exchanges)
    served = [name for name in engine.served if name != "student-base"]
    assert len(served) == 3 and all(name.startswith("r1-") for name in served)


async def test_a_run_is_never_continued_with_another_configuration(tmp_path: Path, services: Services) -> None:
    await make_run(tmp_path, services).until("sample")
    with pytest.raises(InvalidInput, match="run r1 was started with another `seed`"):
        await make_run(tmp_path, services, config=parse_config(RAW | {"seed": 4}, "t")).until("sample")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_model": "Other-7B"}, "base_model: the configuration wants 'Other-7B' and the engine serves 'Smol'"),
        (
            {"recipe": {"lora_rank": 64}},
            "adapters: 'direct': lora_rank 64, and the engine serves ranks up to 16; take an ENGINE_PROFILE with a larger",
        ),
        ({"harvest": {"teacher": "nobody"}}, "harvest.teacher: the teacher service has no backend 'nobody'"),
        ({"harvest": {"retrieve": 2}}, "harvest.retrieve needs passages"),
        ({"data": {"path": "nowhere"}}, "nowhere: no such folder"),
    ],
)
async def test_mistakes_are_told_before_anything_is_asked(
    tmp_path: Path, services: Services, engine: ScriptedEngine, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        await make_run(tmp_path, services, config=parse_config(RAW | change, "t")).until("harvest")
    assert not engine.calls


async def test_a_failed_training_keeps_its_class_and_names_the_adapter(tmp_path: Path, services: Services) -> None:
    services.trainer.fail = "3 rows are over max_length"  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="training direct failed: 3 rows are over max_length"):
        await make_run(tmp_path, services).until("train")


async def test_a_standing_index_is_searched_and_not_replaced(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    engine.free_text = "Rhine\nEvidence: Rhine [0]"
    raw = {
        "name": "h",
        "task": "hotpotqa",
        "data": {"path": str(ROOT / "data/sample/hotpotqa"), "recordings": ["teacher.jsonl"], "index": "lakes", "train": 6, "dev": 4},
        "harvest": {"retrieve": 2},
        "adapters": [{"name": "direct", "track": "direct"}],
        "evaluate": {"conditions": ["base.assisted.retriever"]},
    }
    run = make_run(tmp_path, services, config=parse_config(raw, "h"))
    with pytest.raises(NotFound, match="lakes"):
        await run.until("sample")
    lake = Passage(id="l", title="Lake", sentences=["A lake is a lake."])
    await services.retriever.index(IndexRequest(name="lakes", passages=[lake]))
    await run.until("evaluate")
    samples = [Sample.model_validate_json(line) for line in run.store.path("samples", "train.jsonl").read_text().splitlines()]
    assert {passage.title for sample in samples for passage in sample.passages} == {"Lake"}
    answered = run.store.path("predictions", "base.assisted.retriever.jsonl").read_text().splitlines()
    answers = [exchange["answer"] for line in answered for exchange in json.loads(line)["exchanges"]]
    assert answers and set(answers) == {"A lake is a lake."}


def test_passages_come_from_one_source() -> None:
    with pytest.raises(InvalidInput, match="index: passages come from a standing index or from `corpus`"):
        parse_config(RAW | {"data": {"path": "x", "corpus": "c.jsonl", "index": "lakes"}}, "t")


async def test_hotpotqa_reads_retrieved_passages(tmp_path: Path, services: Services, engine: ScriptedEngine) -> None:
    engine.free_text = "Rhine\nEvidence: Rhine [0]"
    config = parse_config(
        {
            "name": "h",
            "task": "hotpotqa",
            "data": {"path": str(ROOT / "data/sample/hotpotqa"), "recordings": ["teacher.jsonl"], "corpus": "corpus.jsonl", "train": 6, "dev": 4},
            "harvest": {"retrieve": 2},
            "adapters": [{"name": "direct", "track": "direct"}],
            "evaluate": {"conditions": ["base.direct", "direct.direct", "base.assisted.retriever"]},
        },
        "h",
    )
    run = make_run(tmp_path, services, config=config)
    await run.until("report")
    prompt = json.loads(run.store.path("tracks", "direct.jsonl").read_text().splitlines()[0])["prompt"][0]["content"]
    assert prompt.count("[0]") == 2
    assert "answer_em" in run.store.path("scores.json").read_text()
