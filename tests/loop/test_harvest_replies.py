"""Several replies of the teacher to one question: what is asked, what is kept, and which of them become rows."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_teacher import Rule, ScriptedTeacher, replying
from track_traces import trace

from askback.contracts.errors import BudgetExceeded, InvalidInput, NotFound
from askback.contracts.records import FURTHER, Example, Exchange, HarvestRecord, HarvestStage, Sample, TeacherReply
from askback.contracts.teacher import Backend, ChatRequest, PriceResponse
from askback.loop import tracks
from askback.loop.config import TracksConfig, parse_config
from askback.loop.estimate.calls import Count
from askback.loop.estimate.expected import Known, expect
from askback.loop.estimate.teacher_facts import Prices
from askback.loop.estimate.work import Counted, harvest_work
from askback.loop.harvest import Row, rows_of, versions_of
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.loop.tracks.replies import further
from askback.tasks import task_named

ROOT = Path(__file__).parents[2]
TASK = task_named("strategyqa")
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 12, "dev": 4},
    "harvest": {"replies": 3},
    "tracks": {"variants": {"diverse": {"replies": 3}}},
    "adapters": [{"name": "a", "track": "cot"}, {"name": "b", "track": "cot", "tracks": "diverse"}],
    "evaluate": {"conditions": ["base.direct"]},
}


def make_run(tmp_path: Path, services: Services, rule: Rule, retry_errors: bool = False, **harvest: object) -> Run:
    config = parse_config(RAW | {"harvest": RAW["harvest"] | harvest}, "t")
    return Run(
        config, RunStore(tmp_path / "runs", "r1"), replace(services, teacher=ScriptedTeacher(services.teacher, rule)), Reporter(), retry_errors
    )


def asked(run: Run) -> list[ChatRequest]:
    assert isinstance(run.services.teacher, ScriptedTeacher)
    return run.services.teacher.asked


def index(request: ChatRequest) -> int:
    return int(request.metadata.get("sample_index", "0"))


def numbered(request: ChatRequest) -> str:
    """Another thought in every reply; the verdict is the gold answer, as the class's rows need it."""
    return replying("yes", f"Thought {index(request)} stands.")


def records(run: Run) -> list[HarvestRecord]:
    return run.store.read_records("harvest.jsonl", HarvestRecord)


def counts(run: Run) -> dict[str, Any]:
    manifest = run.store.manifest("harvest")
    assert manifest
    return dict(manifest["counts"])


async def test_every_question_is_asked_again_word_for_word_under_its_own_index(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, numbered)
    await run.until("harvest")
    assert Counter(map(index, asked(run))) == {0: 12, 1: 12, 2: 12}
    by_question = {one.metadata["question_id"]: one.messages for one in asked(run)}
    assert all(one.messages == by_question[one.metadata["question_id"]] for one in asked(run))
    assert Counter(str(one.stage) for one in records(run)) == dict.fromkeys(("draft", "teacher", "more-1", "more-2", "rewrite"), 12)
    assert (counts(run)["done"], counts(run)["failed"], counts(run)["further"]) == (12, 0, 24)
    assert counts(run)["prompts"]["more-2"] == counts(run)["prompts"]["teacher"] and "more-3" not in counts(run)["prompts"]


async def test_each_right_reply_is_a_row_of_cot_and_of_no_other_track(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, numbered)
    await run.until("tracks")
    own, diverse = (run.store.read_records(tracks.file_of("cot", name), Example) for name in ("", "diverse"))
    assert len(diverse) == 3 * len(own) > 0
    assert Counter(row.completion[0].content for row in diverse) == {f"Thought {i} stands.\nThe answer is yes": len(own) for i in range(3)}
    for name in ("direct", "context", "dialogue", "preference"):
        files = (run.store.path(tracks.file_of(name, variant)).read_bytes() for variant in ("", "diverse"))
        assert len(set(files)) == 1, name
    card = json.loads(run.store.path("tracks/data_card.json").read_text())
    assert card["further_replies"] == {}
    assert card["variants"]["diverse"]["further_replies"] == {"offered": 2 * len(own), "used": 2 * len(own)}
    assert card["cost"]["more-1"]["cost_usd"] == pytest.approx(0.12)
    told = f"Further replies of the teacher: {2 * len(own)} offered, {2 * len(own)} rows of `cot`; left out: none."
    assert told in run.store.path("tracks/README.md").read_text()


@pytest.mark.parametrize("useless", [NotFound("no recording"), "That depends."])
async def test_a_further_reply_that_is_missing_or_of_no_use_is_counted_and_costs_no_row(
    tmp_path: Path, services: Services, useless: Exception | str
) -> None:
    def rule(request: ChatRequest) -> str:
        if index(request) != 1:
            return numbered(request)
        if isinstance(useless, Exception):
            raise useless
        return useless

    run = make_run(tmp_path, services, rule)
    await run.until("harvest")
    kind = "NotFound" if isinstance(useless, Exception) else "UpstreamRejected"
    assert (counts(run)["done"], counts(run)["failed"], counts(run)["further"], counts(run)["errors"]) == (12, 0, 12, {f"more-1: {kind}": 12})
    again = make_run(tmp_path, services, numbered, retry_errors=True)
    await again.until("harvest")
    assert (counts(again)["further"], counts(again)["errors"]) == (24, {})
    assert 0 not in map(index, asked(again)), "first replies were asked for again"


async def test_a_stopped_harvest_asks_no_reply_twice(tmp_path: Path, services: Services) -> None:
    left = 17

    def poor(request: ChatRequest) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise BudgetExceeded("budget 'total': nothing is left")
        return numbered(request)

    with pytest.raises(BudgetExceeded):
        await make_run(tmp_path, services, poor, concurrency=3).until("harvest")
    again = make_run(tmp_path, services, numbered, concurrency=3)
    await again.until("harvest")
    assert len(asked(again)) == 36 - 17
    assert set(Counter((one.sample_id, one.stage) for one in records(again)).values()) == {1}
    assert counts(again)["further"] == 24


async def test_the_hint_comes_behind_the_further_replies(tmp_path: Path, services: Services) -> None:
    run = make_run(tmp_path, services, numbered, hint=True)
    await run.until("harvest")
    hints = [one for one in asked(run) if "Hint:" in one.messages[-1].content]
    assert hints and {index(one) for one in hints} == {3}
    assert {index(one) for one in asked(run) if one not in hints} == {0, 1, 2}


async def test_replay_answers_with_the_recording_of_that_place(tmp_path: Path, services: Services) -> None:
    rows = [json.loads(line) for line in (ROOT / "data/sample/strategyqa/train.jsonl").read_text().splitlines()][:2]
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "dev"):
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, thought, some in (("ltm", "The first file.", rows), ("cot", "The second file.", rows[:1])):
        lines = [{"qid": row["qid"], "question": row["question"], "completion": replying("yes", thought)} for row in some]
        (data / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    raw = RAW | {"data": {"path": str(data), "recordings": ["ltm.jsonl", "cot.jsonl"], "train": 2, "dev": 2}, "harvest": {"replies": 2}, "tracks": {}}
    config = parse_config(raw | {"adapters": RAW["adapters"][:1]}, "t")
    run = Run(config, RunStore(tmp_path / "runs", "r1"), services, Reporter())
    await run.until("harvest")
    got = {row.sample.id: row for row in rows_of(run.store.read_records("samples/train.jsonl", Sample), records(run))}
    assert {row.reply.thought for row in got.values()} == {"The first file."}
    assert {name: [one.thought for one in row.further] for name, row in got.items()} == {rows[0]["qid"]: ["The second file."], rows[1]["qid"]: []}
    assert counts(run)["errors"] == {"more-1: NotFound": 1}


def reply(thought: str, answer: str = "yes", question: str = "Which?") -> TeacherReply:
    return TeacherReply(exchanges=[Exchange(question=question, answer="It is.")], thought=thought, answer=answer, text="...")


def test_a_further_reply_must_pass_by_itself_what_a_question_must() -> None:
    offered = [
        reply("It is so.", answer="no"),
        reply("  "),
        reply("It is so.", question="The answer is yes, is it not?"),
    ]
    used = further(TracksConfig(replies=4), TASK, [trace(1)], {"q1": offered}, 1, tracks.Surroundings())
    assert used.replies == {} and used.counts == {
        "offered": 3,
        "used": 0,
        "teacher_disagrees": 1,
        "no_thought": 1,
        "question_leaks_answer": 1,
    }
    long = [reply("A word. " * 99), reply("It is 0. It is 1."), reply("Short.")]
    around = tracks.Surroundings(limits={"cot": 150, "direct": 1})
    used = further(TracksConfig(replies=4), TASK, [trace(1)], {"q1": long}, 1, around)
    assert [one.thought for one in used.replies["q1"]] == ["Short."]
    assert used.counts == {"offered": 3, "used": 1, "too_long": 1, "duplicate": 1}


def test_no_more_replies_are_used_than_were_asked_for_and_none_by_default() -> None:
    offered = {"q1": [reply(f"Thought {i}.") for i in range(3)]}
    assert [len(further(TracksConfig(replies=n), TASK, [trace(1)], offered, 1, tracks.Surroundings()).replies.get("q1", [])) for n in (1, 2, 4)] == [
        0,
        1,
        3,
    ]


def test_thoughts_that_are_the_same_when_cut_are_one_row() -> None:
    offered, cut = {"q1": [reply("Another way. It is 1."), reply("It is 2.")]}, TracksConfig(replies=3, thought_sentences=1)
    assert [one.thought for one in further(cut, TASK, [trace(1)], offered, 1, tracks.Surroundings()).replies["q1"]] == ["It is 2."]


def test_the_classes_of_further_replies_are_balanced_again() -> None:
    kept = [trace(i, gold=gold, said=gold) for i, gold in enumerate(["yes", "yes", "yes", "no"])]
    offered = {one.sample.id: [reply("Another way.", one.sample.answer)] for one in kept}
    used = further(TracksConfig(replies=2), TASK, kept, offered, 1, tracks.Surroundings())
    assert Counter("no" if name == "q3" else "yes" for name in used.replies) == {"yes": 1, "no": 1}
    assert used.counts == {"offered": 4, "used": 2, "class_balance": 2}
    assert len(further(TracksConfig(replies=2, balance=False), TASK, kept, offered, 1, tracks.Surroundings()).replies) == 4


def test_an_older_harvest_is_read_as_it_was() -> None:
    sample = Sample(id="q1", task="strategyqa", question="Is it?", answer="yes")
    old = ["draft", "teacher", "rewrite"]
    outputs = {"draft": {"answer": "no", "questions": []}, "teacher": reply("So.").model_dump(), "rewrite": "yes"}
    fields = {"draft": "draft", "teacher": "reply", "rewrite": "rewrite"}
    lines = [json.dumps({"sample_id": "q1", "stage": stage, fields[stage]: outputs[stage]}) for stage in old]
    (row,) = rows_of([sample], [HarvestRecord.model_validate_json(line) for line in lines])
    assert row.finished and row.further == []


def test_versions_name_the_steps_that_there_are() -> None:
    assert list(versions_of(TASK, hint=True, replies=4)) == list(HarvestStage)
    assert set(HarvestStage) - set(versions_of(TASK, replies=2)) == {HarvestStage.HINT, *FURTHER[1:]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"harvest": {"replies": 2}}, "tracks.variants.diverse.replies: 3 are more than the 2 of `harvest.replies`"),
        ({"harvest": {"replies": 5}}, "harvest.replies: Input should be less than or equal to 4"),
        ({"tracks": {"cot": "multitask", "replies": 2, **RAW["tracks"]}}, "tracks.replies: the form multitask takes one reply a question"),
        ({"tracks": {"rationales": 0.5, **RAW["tracks"]}}, "tracks.rationales: only the form multitask has rows of thoughts alone"),
    ],
)
def test_replies_that_are_not_harvested_are_one_clear_error(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_config(RAW | change, "t")
    assert says in str(refused.value)


@pytest.mark.parametrize(("part", "told"), [(1.0, 8), (0.5, 4), (0.0, 0)])
async def test_a_share_of_the_questions_has_its_thought_as_a_row(tmp_path: Path, services: Services, part: float, told: int) -> None:
    traces = [trace(i, gold=gold, said=gold, question=f"Is {i} it?") for i, gold in enumerate(["yes", "no"] * 4)]
    samples = [one.sample for one in traces]
    fields = {"draft": "draft", "teacher": "reply", "rewrite": "rewrite"}
    found = [HarvestRecord(sample_id=one.sample.id, stage=HarvestStage(s), **{f: getattr(one, f)}) for one in traces for s, f in fields.items()]
    config = parse_config(RAW | {"tracks": {"cot": "multitask", "rationales": part}, "adapters": RAW["adapters"][:1]}, "t")
    rows = tracks.make(config, samples, [], found, tracks.Surroundings().counter).tracks["cot"]
    labels = Counter(row.label for row in rows if row.prompt[0].content.startswith("[rationale]"))
    assert labels.total() == told and len(rows) == 8 + told
    assert labels["yes"] == labels["no"]


def test_the_estimate_counts_every_further_reply_once() -> None:
    config = parse_config(RAW | {"harvest": RAW["harvest"] | {"hint": True}}, "t")
    count = Count(TASK, tracks.Surroundings().counter, 50)
    samples = [one.sample for one in (trace(1), trace(2, gold="no"))]
    expected = expect(TASK, samples, Known(recorded={"q1": replying("no"), "q2": replying("no")}), 2)
    counted = Counted.of(config, count, expected, [], [])
    assert [[call.metadata["sample_index"] for call in calls] for calls in counted.further] == [["1", "1"], ["2", "2"]]
    assert [(call.sample_id, call.metadata["sample_index"]) for call in counted.second_tries] == [("q1", "3")]
    assert [call.prompt for call in counted.further[0]] == [call.prompt for call in counted.first_tries]
    done = Row(samples[0], {HarvestStage.MORE_1: HarvestRecord(sample_id="q1", stage=HarvestStage.MORE_1, error="NotFound: none")})
    who = Backend(name="replay", kind="replay", model="", fallback=[], active=True)
    price = PriceResponse(backend="replay", model="", prompt_usd_per_million=0, completion_usd_per_million=0, batch_factor=None)
    work = harvest_work(config, counted, [done], who, Prices(price, None))
    assert {one.name: one.done for one in work} == {
        "harvest": set(),
        "harvest, second try": set(),
        "harvest, more-1": {"q1"},
        "harvest, more-2": set(),
    }
