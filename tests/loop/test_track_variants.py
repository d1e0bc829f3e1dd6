"""Several ways to make tracks from one harvest: what a variant changes, what it leaves, and what it is trained and asked with."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.client import StudentClient
from askback.contracts.errors import InvalidInput
from askback.contracts.records import Example, Sample, Usage
from askback.contracts.student import AnswerRequest, AnswerResponse, CotForm
from askback.loop import tracks
from askback.loop.config import dump_toml, load_config, overridden, parse_config
from askback.loop.evaluate import evaluate
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore

ROOT = Path(__file__).parents[2]
DEMO = {
    "context": "d25598234b2667ef",
    "cot": "cdc8ebe9f8544c3a",
    "dialogue": "eac707838c28c762",
    "direct": "10d676799266ac00",
    "dropped": "e3b0c44298fc1c14",
    "preference": "f217a43eeb1310f4",
}
VARIANTS = {"short": {"cot": "answer-first", "thought_sentences": 1}, "all": {"balance": False, "leaks": False}}
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "data": {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 30, "dev": 8},
    "tracks": {"variants": VARIANTS},
    "adapters": [
        {"name": "cot", "track": "cot"},
        {"name": "short", "track": "cot", "tracks": "short", "seeds": [1, 2], "recipe": {"max_length": 200}},
        {"name": "all", "track": "direct", "tracks": "all", "init": "cot"},
    ],
    "evaluate": {"conditions": ["base.cot", "cot.cot", "short.cot", "all.direct"]},
}


async def test_the_demos_tracks_are_what_they_were(tmp_path: Path, services: Services) -> None:
    config = overridden(load_config(ROOT / "configs" / "demo.toml"), data=ROOT / "data" / "sample" / "strategyqa")
    run = Run(config.model_copy(update={"base_model": ""}), RunStore(tmp_path / "runs", "r1"), services, Reporter())
    await run.until("tracks")
    files = {path.stem: sha256(path.read_bytes()).hexdigest()[:16] for path in run.store.path("tracks").glob("*.jsonl")}
    assert files == DEMO
    manifest, card = run.store.manifest("tracks"), json.loads(run.store.path("tracks/data_card.json").read_text())
    assert manifest and "variants" not in manifest["counts"] and "variants" not in card


async def test_a_variant_has_its_own_files_account_and_section_of_the_card(tmp_path: Path, services: Services) -> None:
    run = Run(parse_config(RAW, "t"), RunStore(tmp_path / "runs", "r1"), services, Reporter())
    await run.until("train")
    store = run.store
    assert sorted(path.name for path in store.path("tracks").iterdir() if path.is_dir()) == ["all", "plain", "short"]
    own, short = (store.read_records(tracks.file_of("cot", name), Example) for name in ("", "short"))
    assert [row.sample_id for row in own] == [row.sample_id for row in short]
    assert all(row.completion[0].content.startswith("The answer is") for row in short)
    manifest, card = store.manifest("tracks"), json.loads(store.path("tracks/data_card.json").read_text())
    assert manifest
    assert manifest["counts"]["variants"]["short"]["questions"] == card["variants"]["short"]["accounts"] == card["accounts"]
    reasons = [[step["reason"] for step in card["variants"][name]["filters"] if "reason" in step] for name in ("short", "all")]
    assert set(reasons[0]) - set(reasons[1]) == {"question_leaks_answer", "class_balance"}
    assert card["variants"]["all"]["limits"] == {"direct": 256} and card["variants"]["short"]["limits"] == {"cot": 200}
    text = store.path("tracks/README.md").read_text()
    assert '## Variant short\n\nDiffers from the tracks above in: `cot = "answer-first"`, `thought_sentences = 1`.' in text
    assert "| `short/cot.jsonl` | " in text and {"cot", "cot-answer-first"} <= card["prompts"].keys()
    assert {name for name in card["files"] if name.startswith("all/")} == {f"all/{track}.jsonl" for track in (*card["tracks"], "dropped")}


async def test_an_adapter_is_trained_on_the_tracks_it_names(tmp_path: Path, services: Services) -> None:
    run = Run(parse_config(RAW, "t"), RunStore(tmp_path / "runs", "r1"), services, Reporter())
    await run.until("train")
    assert {one.name: one.dataset for one in services.trainer.submitted} == {  # type: ignore[attr-defined]
        "cot": "tracks/cot.jsonl",
        "short-s1": "tracks/short/cot.jsonl",
        "short-s2": "tracks/short/cot.jsonl",
        "all": "tracks/all/direct.jsonl",
    }


class Noting(StudentClient):
    def __init__(self) -> None:
        self.asked: list[AnswerRequest] = []

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        self.asked.append(request)
        return AnswerResponse(answer="yes", text="yes", model="m", usage=Usage())


async def test_mode_cot_is_asked_in_the_form_of_the_adapters_own_tracks(tmp_path: Path) -> None:
    student, names = Noting(), {name: name for name in ("base", "cot", "short-s1", "short-s2", "all")}
    sample = Sample(id="q", task="strategyqa", question="Is it?", answer="yes")
    await evaluate(parse_config(RAW, "t"), [sample], names, RunStore(tmp_path, "r1"), student, Reporter())
    forms = {one.adapter: one.cot for one in student.asked}
    first, answer_first = CotForm.RATIONALE_FIRST, CotForm.ANSWER_FIRST
    assert forms == {"base": first, "cot": first, "short-s1": answer_first, "short-s2": answer_first, "all": first}


def test_a_configuration_with_variants_is_read_as_it_was_written(tmp_path: Path) -> None:
    config = parse_config(RAW, "t")
    (tmp_path / "config.toml").write_text(dump_toml(config))
    assert load_config(tmp_path / "config.toml") == config
    assert config.tracks_of("short").near_duplicate == config.tracks.near_duplicate
    wrong = overridden(config, keep_wrong=True)
    assert wrong.tracks_of("").keep_wrong and wrong.tracks_of("short").keep_wrong


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tracks": {}}, "adapters: 'short-s1': tracks: no variant 'short'; there are: none; write [tracks.variants.short]"),
        ({"tracks": {"variants": VARIANTS | {"all": {"balence": False}}}}, "tracks.variants.all.balence: Extra inputs are not permitted"),
        ({"tracks": {"variants": VARIANTS | {"all": {"cot": "sideways"}}}}, "tracks.variants.all.cot: Input should be"),
        ({"tracks": {"variants": VARIANTS | {"all": {"variants": {}}}}}, "tracks.variants.all.variants: Extra inputs are not permitted"),
        ({"tracks": {"variants": VARIANTS | {"plain": {}}}}, "tracks.variants.plain: tracks/plain holds the plain form"),
        ({"tracks": {"variants": VARIANTS | {"Big": {}}}}, "tracks.variants.Big"),
    ],
)
def test_a_variant_that_does_not_fit_is_one_clear_error(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_config(RAW | change, "t")
    assert str(refused.value).startswith("t: ") and says in str(refused.value)


async def test_a_variant_with_nothing_left_is_named(tmp_path: Path, services: Services) -> None:
    variants = VARIANTS | {"all": {"max_tokens": 1}}
    run = Run(parse_config(RAW | {"tracks": {"variants": variants}}, "t"), RunStore(tmp_path / "runs", "r1"), services, Reporter())
    with pytest.raises(InvalidInput, match=r"tracks.variants.all: no question is left to train on \(too_long 30\)"):
        await run.until("tracks")
    assert run.store.manifest("tracks") is None
