"""The estimate against what was then counted, in a run with known texts and on the official questions."""

import json
import os
from pathlib import Path

import pytest
from estimate_questions import TASK, Words, config, drafted, question_row, recording, replied, teacher, words_for, write_harvest, write_rows

from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Passage, Sample
from askback.loop.config import load_config, overridden
from askback.loop.estimate import estimate
from askback.loop.estimate.rows import samples_of
from askback.loop.recordings import read_recordings, recording_files
from askback.loop.sample import draw
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import WordEstimate

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("ASKBACK_DATA") or ROOT.parent / "shared" / "data") / "strategyqa"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_rows(folder / "train.jsonl", [question_row(number) for number in range(1, 5)])
    write_rows(folder / "dev.jsonl", [question_row(11)])
    return folder


async def test_estimated_and_counted_tokens_of_the_rows_that_have_a_reply(data: Path, tmp_path: Path) -> None:
    runs, text = tmp_path / "runs", "Q1. Why?\nSo.\nThe answer is no."
    version, error = TASK.prompt_version("teacher"), "UpstreamRejected: no verdict"
    failed = HarvestRecord(sample_id="q2", stage=HarvestStage.TEACHER, error=error, prompt_version=version)
    mine = [drafted(1, "Why?"), replied(1, text, prompt_tokens=50, completion_tokens=7, cost_usd=0.5), drafted(2, "Why?"), failed, drafted(3, "Why?")]
    write_harvest(runs, "mine", *mine)
    found = await estimate(config(data), RunStore(runs, "mine"), teacher(), Words(), runs, "", words_for)
    compared = found.comparison
    assert compared is not None and compared.replies == 1

    def words(draft: Draft) -> int:
        return 7 + len(TASK.prompt("teacher", "Is thing 1 a thing?", draft=draft)[0].content.split())

    assert compared.counted_prompt_tokens == words(Draft(answer="no", questions=["Why?"]))
    assert compared.estimated_prompt_tokens == words(Draft(answer="yes", questions=["What is thing 1?", "Is #1 1 a thing?"]))
    assert (compared.counted_completion_tokens, compared.estimated_completion_tokens) == (len(text.split()), 20)
    assert (compared.billed_prompt_tokens, compared.billed_completion_tokens, compared.billed_usd) == (50, 7, 0.5)
    guess = compared.estimated_prompt_tokens + compared.estimated_completion_tokens
    counted = compared.counted_prompt_tokens + compared.counted_completion_tokens
    assert compared.difference == pytest.approx((guess - counted) / counted)
    assert f"{100 * (guess - counted) / counted:+.1f} %" in found.as_text()
    assert "the backend's own count: 50 + 7 tokens, $0.50 paid" in found.as_text()


async def test_second_tries_are_compared_too(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_rows(data / "recorded.jsonl", [recording(1, "yes")])  # gold is no
    first, second = replied(1, recording(1, "yes")["completion"]), replied(1, "The answer is no.")
    hinted = second.model_copy(update={"stage": HarvestStage.HINT, "prompt_version": TASK.prompt_version("hint")})
    write_harvest(runs, "mine", drafted(1, "Why?"), first, hinted)
    settings = config(data, harvest={"hint": True}, data={"recordings": ["recorded.jsonl"]})
    found = await estimate(settings, RunStore(runs, "mine"), teacher(), Words(), runs, "", words_for)
    assert found.comparison is not None and found.comparison.replies == 2
    expected = len(recording(1)["completion"].split())
    assert found.comparison.estimated_completion_tokens == 2 * expected
    assert found.comparison.counted_completion_tokens == expected + 4
    assert [item.left.calls for item in found.items] == [3, 0]


def hotpotqa_row(number: int, passages: int) -> dict[str, object]:
    context = [[f"Page {i}", [f"Sentence {number} of page {i}."]] for i in range(passages)]
    return {"_id": f"h{number}", "question": f"Which page is {number}?", "answer": "Page 0", "context": context, "supporting_facts": [["Page 0", 0]]}


def test_retrieved_passages_stand_in_by_the_questions_own_else_by_some_of_the_corpus(tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "corpus.jsonl", [{"id": str(i), "title": f"T{i}", "sentences": ["One."]} for i in range(9)])
    for split in ("train", "dev"):
        (tmp_path / "data" / f"{split}.json").write_text(json.dumps([hotpotqa_row(1, 5), hotpotqa_row(2, 5)]))
    own = config(tmp_path / "data", harvest={"retrieve": 2}, task="hotpotqa")
    train, dev, notes = samples_of(own, None)
    assert [[passage.title for passage in sample.passages] for sample in (*train, *dev)] == [["Page 0", "Page 1"]] * 4
    assert "first 2 of each question stand in" in notes[0]
    train, dev, notes = samples_of(config(tmp_path / "data", harvest={"retrieve": 3}, task="hotpotqa", data={"corpus": "corpus.jsonl"}), None)
    titles = [[passage.title for passage in sample.passages] for sample in (*train, *dev)]
    assert all(len(set(found)) == 3 and all(title.startswith("T") for title in found) for found in titles)
    assert "3 drawn from the corpus stand in" in notes[0]
    assert samples_of(config(tmp_path / "data", task="hotpotqa"), None)[2] == []


def test_a_run_that_has_sampled_is_taken_as_it_is(data: Path, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs", "mine")
    passage = Passage(id="p", title="Found", sentences=["Once."])
    kept = Sample(id="kept", task="strategyqa", question="Is it?", answer="yes", passages=[passage])
    for split in ("train", "dev"):
        store.write_records(f"samples/{split}.jsonl", [kept])
    assert [sample.id for sample in samples_of(config(data), store)[0]] != ["kept"]
    store.complete("sample", 0.0, ["samples/train.jsonl"], {})
    assert samples_of(config(data), store) == ([kept], [kept], [])


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not at {DATA.parent}; set ASKBACK_DATA to its folder")
@pytest.mark.parametrize("asked", [1, 2])
async def test_on_the_official_questions_stand_ins_come_within_a_tenth(tmp_path: Path, asked: int) -> None:
    """Also of a student that asks but one of the questions that the estimate reckons with."""
    settings = overridden(load_config(ROOT / "configs" / "strategyqa.toml"), DATA, "replay")
    train, _ = draw(TASK, settings.data, settings.seed)
    recorded = {one.question_id: one.completion for one in read_recordings(recording_files(settings), {sample.id for sample in train})}
    clarify, taught = TASK.prompt_version("clarify"), TASK.prompt_version("teacher")
    records, replies = [], 0
    for sample in train:
        draft = Draft(answer="no", questions=(sample.decomposition * 2)[-asked:])
        records.append(HarvestRecord(sample_id=sample.id, stage=HarvestStage.DRAFT, draft=draft, prompt_version=clarify))
        try:
            reply = TASK.parse_teacher(recorded.get(sample.id, ""))
        except UpstreamRejected:
            continue
        replies += 1
        records.append(HarvestRecord(sample_id=sample.id, stage=HarvestStage.TEACHER, reply=reply, backend="replay", prompt_version=taught))
    write_harvest(tmp_path / "runs", "mine", *records)
    found = await estimate(settings, RunStore(tmp_path / "runs", "mine"), teacher(active="replay"), WordEstimate(), tmp_path / "none")
    assert (found.rows, found.dev_rows) == (1832, 229)
    assert found.replies["recorded answers"] > 2000
    assert found.comparison is not None and found.comparison.replies == replies > 1600
    assert abs(found.comparison.difference) < 0.1
    assert found.comparison.counted_completion_tokens == found.comparison.estimated_completion_tokens
