"""The card beside the tracks, the files that it names, and that other tools read them."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from track_traces import river, trace

from askback.contracts.records import HarvestRecord, HarvestStage, Trace, Usage
from askback.loop import data_card, tracks
from askback.loop.config import RunConfig, parse_config
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import WordEstimate
from askback.tasks import task_named

RAW = {"name": "t", "task": "strategyqa", "seed": 7, "adapters": [{"name": "a", "track": "direct"}], "evaluate": {"conditions": ["base.direct"]}}


def harvested(one: Trace) -> Iterator[HarvestRecord]:
    """The trace's three records, of which the teacher's cost two cents and was asked twice."""
    sample = one.sample.id
    yield HarvestRecord(sample_id=sample, stage=HarvestStage.DRAFT, draft=one.draft, model="Smol", prompt_version="clarify-1")
    paid = {
        "model": "gpt-x",
        "backend": "openai",
        "prompt_version": "teacher-1",
        "usage": Usage(prompt_tokens=30, completion_tokens=9, cost_usd=0.02),
    }
    yield HarvestRecord(sample_id=sample, stage=HarvestStage.TEACHER, error="UpstreamRejected: no verdict", **paid)
    yield HarvestRecord(sample_id=sample, stage=HarvestStage.TEACHER, reply=one.reply, **paid)
    yield HarvestRecord(sample_id=sample, stage=HarvestStage.REWRITE, rewrite=one.rewrite, model="Smol", prompt_version="rewrite-1")


def written(tmp_path: Path, config: RunConfig, traces: list[Trace]) -> tuple[RunStore, dict[str, Any]]:
    store, records = RunStore(tmp_path / "runs", "r1"), [record for one in traces for record in harvested(one)]
    corpus = tracks.make(config, [one.sample for one in traces], [], records, WordEstimate())
    card = data_card.card(config, task_named(config.task), corpus, records, data_card.file_facts(store, tracks.write(store, corpus)))
    return store, card


@pytest.fixture
def traces() -> list[Trace]:
    return [trace(1), trace(2, gold="no", said="no", draft="yes"), trace(3, said="no")]


def test_the_card_says_what_is_there(tmp_path: Path, traces: list[Trace]) -> None:
    _, card = written(tmp_path, parse_config(RAW, "t"), traces)
    assert card["tracks"]["dialogue"] == {"rows": 4, "questions": 2, "classes": {"no": 2, "yes": 2}}
    assert card["accounts"] == {"sampled": 3, "kept": 2, "dropped": {"teacher_disagrees": 1}, "failed": 0, "pending": 0}
    assert (card["seed"], card["source"], card["licence"]["id"]) == (7, "tasksource/strategy-qa", "mit")
    assert card["cost"]["teacher"] == {"records": 6, "prompt_tokens": 180, "completion_tokens": 54, "cost_usd": 0.12}
    assert card["cost"]["total"]["cost_usd"] == 0.12 and card["cost"]["draft"]["cost_usd"] == 0
    assert card["teacher_models"] == {"openai": {"gpt-x": 6}}
    assert card["harvest_prompts"] == {"draft": ["clarify-1"], "teacher": ["teacher-1"], "rewrite": ["rewrite-1"]}
    assert card["prompts"]["direct"] == task_named("strategyqa").prompt_version("direct")
    assert card["tokens"]["limits"] == {"direct": 256}
    json.dumps(card)


def test_the_card_counts_second_tries(tmp_path: Path, traces: list[Trace]) -> None:
    config, wrong = parse_config(RAW | {"harvest": {"hint": True}}, "t"), traces[2]
    assert (wrong.sample.answer, wrong.reply.answer) == ("yes", "no")
    paid = {"backend": "openai", "model": "gpt-x", "prompt_version": "hint-1", "usage": Usage(cost_usd=0.03)}
    reply = wrong.reply.model_copy(update={"answer": "yes"})
    hint = HarvestRecord(sample_id=wrong.sample.id, stage=HarvestStage.HINT, reply=reply, **paid)
    first, again, rewrite = ([*harvested(wrong)][i] for i in (0, 2, 3))
    records = [*(record for one in traces[:2] for record in harvested(one)), first, again, hint, rewrite]
    store = RunStore(tmp_path / "runs", "r1")
    corpus = tracks.make(config, [one.sample for one in traces], [], records, WordEstimate())
    card = data_card.card(config, task_named(config.task), corpus, records, data_card.file_facts(store, tracks.write(store, corpus)))
    assert card["hints"]["tried"] == card["hints"]["used"] == 1
    assert card["cost"]["hint"] == {"records": 1, "prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.03}
    assert card["harvest_prompts"]["hint"] == ["hint-1"]
    assert card["teacher_models"] == {"openai": {"gpt-x": 6}}
    assert "Second tries with the gold answer as a hint: 1; 1 of them in use" in data_card.markdown(card)


def test_a_local_source_tells_no_path(tmp_path: Path, traces: list[Trace]) -> None:
    _, card = written(tmp_path, parse_config(RAW | {"data": {"path": "/home/ann/strategyqa"}}, "t"), traces)
    assert card["source"] == "local files, strategyqa"
    assert "/home/ann" not in json.dumps(card) + data_card.markdown(card)


def test_the_card_reads_well(tmp_path: Path, traces: list[Trace]) -> None:
    _, card = written(tmp_path, parse_config(RAW, "t"), traces)
    lines = data_card.markdown(card).splitlines()
    for line in (
        "| teacher agrees with gold | 3 | 2 | no 1, yes 2 | no 1, yes 1 |",
        "| dropped: `teacher_disagrees` | 1 |",
        "| sampled | 3 |",
        "| teacher | 6 | 180 | 54 | 0.1200 |",
        "Teacher models, with their answers: openai: gpt-x 6.",
        "Licence of the dataset: MIT; the teacher's answers stand under the terms of its provider.",
    ):
        assert line in lines
    assert data_card.sentence(card["filters"][0]) == "teacher agrees with gold: 3 → 2 rows (no 1, yes 2 → no 1, yes 1)"


def test_checksums_and_rows_are_those_of_the_files(tmp_path: Path, traces: list[Trace]) -> None:
    store, card = written(tmp_path, parse_config(RAW, "t"), traces)
    assert set(card["files"]) == {f"{name}.jsonl" for name in (*card["tracks"], "dropped", "plain/direct", "plain/cot")}
    for name, facts in card["files"].items():
        content = store.path("tracks", name).read_bytes()
        assert facts == {"rows": content.count(b"\n"), "bytes": len(content), "sha256": sha256(content).hexdigest()}


def test_the_head_is_what_the_hub_reads(tmp_path: Path, traces: list[Trace]) -> None:
    from huggingface_hub import DatasetCard

    config = parse_config(RAW | {"tracks": {"keep_wrong": True, "balance": False}}, "t")
    _, card = written(tmp_path, config, traces)
    assert card["files"]["dropped.jsonl"]["rows"] == 0
    head = DatasetCard(data_card.markdown(card)).data
    assert (head.license, head.size_categories, head.source_datasets) == ("mit", ["n<1K"], ["tasksource/strategy-qa"])
    files = {one["config_name"]: one["data_files"] for one in head.configs}  # type: ignore[attr-defined]
    assert files["plain-cot"] == "plain/cot.jsonl" and "dropped" not in files
    assert [one["config_name"] for one in head.configs if one.get("default")] == ["direct"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", ["rationale-first", "answer-first", "multitask"])
@pytest.mark.parametrize("task", ["strategyqa", "hotpotqa"])
def test_datasets_loads_every_file_as_it_is(tmp_path: Path, traces: list[Trace], task: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    wrong = river(said="Aare").model_copy(update={"sample": river().sample.model_copy(update={"id": "h2", "question": "Which river?"})})
    config = parse_config(RAW | {"task": task, "tracks": {"cot": form}}, "t")
    store, card = written(tmp_path, config, traces if task == "strategyqa" else [river(), wrong])
    for name, facts in card["files"].items():
        loaded: Any = load_dataset("json", data_files=str(store.path("tracks", name)), split="train", cache_dir=str(tmp_path / "cache"))
        assert facts["rows"] == len(loaded) > 0, name
    for name in card["tracks"]:
        loaded = load_dataset("json", data_files=str(store.path("tracks", f"{name}.jsonl")), split="train", cache_dir=str(tmp_path / "cache"))
        answer = "chosen" if name == "preference" else "completion"
        assert {message["role"] for row in loaded for message in row[answer]} == {"assistant"}


def test_a_folder_is_loaded_by_its_card(tmp_path: Path, traces: list[Trace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    store, card = written(tmp_path, parse_config(RAW, "t"), traces)
    store.write_text("tracks/README.md", data_card.markdown(card))
    store.write_json("tracks/data_card.json", card)
    loaded: Any = load_dataset(str(store.path("tracks")), "plain-cot", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == ["question", "cot", "answer"]
    assert len(load_dataset(str(store.path("tracks")), split="train", cache_dir=str(tmp_path / "cache"))) == 2
