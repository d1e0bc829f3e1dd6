"""The rows of every track, in each of their forms."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from track_traces import river, trace

from askback.contracts.client import StudentClient
from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from askback.contracts.records import Example, HarvestRecord, HarvestStage, PreferencePair, Trace
from askback.contracts.student import AdaptersResponse
from askback.loop import tracks
from askback.loop.config import parse_config
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import WordEstimate
from askback.tasks import Task, task_named

ROOT = Path(__file__).parents[2]
TASK, HOTPOT = task_named("strategyqa"), task_named("hotpotqa")
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "adapters": [{"name": "a", "track": "direct"}, {"name": "b", "track": "direct", "recipe": {"max_length": 64}}, {"name": "c", "track": "cot"}],
    "evaluate": {"conditions": ["base.direct"]},
}


def example(row: tracks.Row) -> Example:
    assert isinstance(row, Example)
    return row


def said(row: tracks.Row) -> str:
    return example(row).completion[0].content


def asked(row: tracks.Row) -> str:
    return row.prompt[0].content


def test_every_track_has_its_form() -> None:
    built = tracks.build(TASK, [trace(1)], 2)
    assert {name: said(rows[-1]) for name, rows in built.items() if name != "preference"} == {
        "direct": "yes",
        "cot": "It is 0. It is 1.\nThe answer is yes",
        "context": "yes",
        "dialogue": "yes",
    }
    (pair,) = built["preference"]
    assert isinstance(pair, PreferencePair)
    assert (pair.chosen[0].content, pair.rejected[0].content) == ("yes", "no")
    asking, answering = built["dialogue"]
    assert said(asking) == "1. Which 0?\n2. Which 1?"
    assert [message.role for message in answering.prompt] == ["user", "assistant", "user"]


@pytest.mark.parametrize("track", ["direct", "cot", "context", "dialogue", "preference"])
def test_prompts_never_hold_the_verdict(track: str) -> None:
    for row in tracks.build(TASK, [trace(1)], 2)[track]:
        assert "The answer is" not in " ".join(message.content for message in row.prompt)


def test_the_dialogue_takes_at_most_the_allowed_questions_and_needs_one() -> None:
    assert said(tracks.build(TASK, [trace(1, exchanges=3)], 1)["dialogue"][0]) == "1. Which 0?"
    assert tracks.build(TASK, [trace(1, exchanges=0)], 2)["dialogue"] == []


def test_answer_first_says_the_answer_before_its_reasons() -> None:
    (row,) = tracks.build(TASK, [trace(1)], 2, cot="answer-first")["cot"]
    assert said(row) == "The answer is yes\nIt is 0. It is 1."
    assert asked(row) == "Q: Q1?\nAnswer yes or no, then explain step by step."
    (row,) = tracks.build(HOTPOT, [river()], 2, cot="answer-first")["cot"]
    assert HOTPOT.parse_answer(said(row)) == "Rhine"
    assert HOTPOT.supporting_facts(said(row)) == [("Basel", 0)]


@pytest.mark.parametrize(("task", "one", "answer"), [(TASK, trace(1), "yes"), (HOTPOT, river(), "Rhine\nEvidence: Basel [0]")])
def test_multitask_has_a_row_for_the_label_and_one_for_the_rationale(task: Task, one: Trace, answer: str) -> None:
    label, rationale = tracks.build(task, [one], 2, cot="multitask")["cot"]
    assert (asked(label)[:7], said(label)) == ("[label]", answer)
    assert (asked(rationale)[:11], said(rationale)) == ("[rationale]", one.reply.thought)


@pytest.mark.parametrize("form", ["rationale-first", "answer-first", "multitask"])
@pytest.mark.parametrize(("task", "one"), [(TASK, trace(1)), (HOTPOT, river())])
def test_mode_cot_is_asked_as_it_was_trained(form: str, task: Task, one: Trace) -> None:
    sample = one.sample
    row = tracks.build(task, [one], 2, cot=form)["cot"][0]
    assert row.prompt == task.prompt(task.cot_role(form), sample.question, passages=sample.passages)
    with pytest.raises(InvalidInput, match="unknown form 'sideways'; known forms: rationale-first"):
        TASK.cot_role("sideways")


def test_a_reply_without_a_thought_teaches_no_thinking() -> None:
    bare = trace(1).model_copy(update={"reply": trace(1).reply.model_copy(update={"thought": " "})})
    built = tracks.build(TASK, [bare], 2)
    assert (built["cot"], built["context"], len(built["direct"])) == ([], [], 1)
    assert tracks.plain(TASK, [bare])["cot"] == []


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (trace(2, draft="yes"), "the draft is right"),
        (trace(3, said="no", draft="no"), "the teacher is wrong"),
        (trace(4, draft="Yes."), "the draft says the same in another spelling"),
        (trace(5, draft="The answer is yes"), "the draft's text is read as the right answer"),
        (trace(7, draft="(yes)"), "the draft is the same word, though no answer is read from it"),
        (trace(6, draft=" "), "the draft says nothing"),
    ],
)
def test_pairs_that_prefer_nothing_are_left_out(one: Trace, why: str) -> None:
    assert [row.sample_id for row in tracks.build(TASK, [trace(1), one], 2)["preference"]] == ["q1"], why


def test_free_answers_in_another_spelling_make_no_pair() -> None:
    assert len(tracks.build(HOTPOT, [river(draft="Danube")], 2)["preference"]) == 1
    assert tracks.build(HOTPOT, [river(draft="The Rhine.")], 2)["preference"] == []
    assert tracks.build(HOTPOT, [river(draft="Rhine\nEvidence: Basel [1]")], 2)["preference"] == []


def test_hotpotqa_rows_keep_the_gold_span_and_the_supporting_sentences() -> None:
    built = tracks.build(HOTPOT, [river(said="the Rhine")], 2)
    for name in ("direct", "cot", "context", "dialogue"):
        row = built[name][-1]
        assert said(row).endswith("Rhine\nEvidence: Basel [0]") and row.label == "Rhine", name
        assert "the Rhine\nEvidence" not in said(row)
    assert tracks.plain(HOTPOT, [river()]) == {
        "direct": [
            {
                "question": "On which river lies the city of the Kunstmuseum?",
                "answer": "Rhine",
                "supporting_sentences": ["Basel: Basel lies on the Rhine."],
            }
        ],
        "cot": [
            {
                "question": "On which river lies the city of the Kunstmuseum?",
                "cot": "The museum is in Basel.",
                "answer": "Rhine",
                "supporting_sentences": ["Basel: Basel lies on the Rhine."],
            }
        ],
    }


def test_the_plain_form_has_the_plans_fields() -> None:
    assert tracks.plain(TASK, [trace(1)]) == {
        "direct": [{"question": "Q1?", "answer": "yes"}],
        "cot": [{"question": "Q1?", "cot": "It is 0. It is 1.", "answer": "yes"}],
    }


def harvested(one: Trace, error: str = "") -> list[HarvestRecord]:
    """The three records of a trace, or its failed draft."""
    sample = one.sample
    if error:
        return [HarvestRecord(sample_id=sample.id, stage=HarvestStage.DRAFT, error=error)]
    fields = {"draft": "draft", "teacher": "reply", "rewrite": "rewrite"}
    return [HarvestRecord(sample_id=sample.id, stage=HarvestStage(stage), **{field: getattr(one, field)}) for stage, field in fields.items()]


def test_every_sampled_question_is_kept_dropped_failed_or_pending(tmp_path: Path) -> None:
    traces = [trace(i, gold="yes" if i % 3 else "no", said="no" if i == 1 or not i % 3 else "yes") for i in range(12)]
    records = [record for one in traces[:10] for record in harvested(one)]
    records += harvested(traces[10], error="UpstreamRejected: no question") + harvested(traces[11])[:1]
    config = parse_config(RAW, "t")
    corpus = tracks.make(config, [one.sample for one in traces], [traces[4].sample], records, WordEstimate())
    accounts = corpus.accounts
    assert accounts["dropped"] == {"teacher_disagrees": 1, "overlaps_dev": 1}
    assert (accounts["sampled"], accounts["failed"], accounts["pending"], accounts["kept"]) == (12, 1, 1, 8)
    assert accounts["sampled"] == accounts["kept"] + sum(accounts["dropped"].values()) + accounts["failed"] + accounts["pending"]
    store = RunStore(tmp_path, "r1")
    files = tracks.write(store, corpus)
    assert {(one.sample_id, one.reason) for one in store.read_records("tracks/dropped.jsonl", tracks.Dropped)} == {
        ("q1", "teacher_disagrees"),
        ("q4", "overlaps_dev"),
    }
    assert files["tracks/dropped.jsonl"] == 2 and files["tracks/plain/cot.jsonl"] == 8


class AbsentStudent(StudentClient):
    """A student service that is away."""

    def __init__(self) -> None:
        pass

    async def adapters(self) -> AdaptersResponse:
        raise UpstreamUnavailable("no answer")


async def test_a_run_writes_every_file_with_its_checksum_and_needs_no_student_for_it(tmp_path: Path, services: Services) -> None:
    data = {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 60, "dev": 20}
    adapters = [{"name": "a", "track": "direct"}, {"name": "b", "track": "dialogue", "recipe": {"max_length": 175}}]
    config = parse_config(RAW | {"data": data, "adapters": adapters, "tracks": {"cot": "multitask"}}, "t")
    store = RunStore(tmp_path / "runs", "r1")
    await Run(config, store, services, Reporter()).until("harvest")
    await Run(config, store, replace(services, student=AbsentStudent()), Reporter()).until("tracks")
    manifest, card = store.manifest("tracks"), json.loads(store.path("tracks/data_card.json").read_text())
    assert manifest
    assert {name.removeprefix("tracks/"): digest for name, digest in manifest["sha256"].items()} == {
        name: facts["sha256"] for name, facts in card["files"].items()
    }
    accounts = card["accounts"]
    dropped = Counter(one.reason for one in store.read_records("tracks/dropped.jsonl", tracks.Dropped))
    assert accounts["dropped"] == dropped and accounts["kept"] > 20 and dropped.keys() <= tracks.REASONS.keys()
    assert accounts["sampled"] == 60 == accounts["kept"] + dropped.total() + accounts["failed"] + accounts["pending"]
    assert card["tracks"]["cot"] == {"rows": 2 * accounts["kept"], "questions": accounts["kept"], "classes": card["tracks"]["cot"]["classes"]}
    assert card["dev_questions"] == 20 and "estimate" in card["tokens"]["counted_by"]
    assert store.path("tracks/README.md").read_text().startswith("---\npretty_name: strategyqa")


async def test_a_run_with_nothing_left_says_why_and_is_not_complete(tmp_path: Path, services: Services) -> None:
    data = {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 6, "dev": 2}
    store = RunStore(tmp_path / "runs", "r1")
    with pytest.raises(InvalidInput, match=r"no question is left to train on \(too_long 6\)"):
        await Run(parse_config(RAW | {"data": data, "tracks": {"max_tokens": 1}}, "t"), store, services, Reporter()).until("tracks")
    assert store.manifest("tracks") is None
    assert len(store.read_records("tracks/dropped.jsonl", tracks.Dropped)) == 6


def test_the_limit_of_a_track_is_its_shortest_recipe() -> None:
    assert tracks.limits_of(parse_config(RAW, "t")) == {"direct": 64, "cot": 256}
    assert tracks.limits_of(parse_config(RAW | {"adapters": RAW["adapters"][::-1]}, "t")) == {"direct": 64, "cot": 256}
    limits = tracks.limits_of(parse_config(RAW | {"tracks": {"max_tokens": 99}}, "t"))
    assert limits == dict.fromkeys(("direct", "cot", "context", "dialogue", "preference"), 99)
