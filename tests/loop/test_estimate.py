"""What a run will cost: counted on the real prompts, with and without what is there already."""

import json
import os
from pathlib import Path

import pytest
from estimate_questions import TASK, Words, config, drafted, question_row, recording, replied, teacher, words_for, write_harvest, write_rows

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Draft, Message, Prediction
from askback.loop.choose import held_out_run
from askback.loop.config import RunConfig
from askback.loop.estimate import Estimate, estimate
from askback.loop.sample import held_out
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import WordEstimate


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four questions to harvest and two to test, all with annotations."""
    folder = tmp_path / "data"
    write_rows(folder / "train.jsonl", [question_row(number) for number in range(1, 5)])
    write_rows(folder / "dev.jsonl", [question_row(number) for number in range(11, 13)])
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


async def made(settings: RunConfig, runs: Path, store: RunStore | None = None, price_as: str = "", **fields: object) -> Estimate:
    return await estimate(settings, store, teacher(**fields), Words(), runs, price_as, words_for)


def prompt_words(question: str, draft: Draft) -> int:
    """As OpenAI counts: 3 for the reply, 3 for the message, 1 for its role, and its words."""
    return 7 + sum(len(message.content.split()) for message in TASK.prompt("teacher", question, draft=draft))


def gold_questions(number: int) -> list[str]:
    return question_row(number)["decomposition"][:2]  # type: ignore[no-any-return]


async def test_stand_ins_are_counted_on_the_real_prompt_and_named(data: Path, runs: Path) -> None:
    found = await made(config(data), runs)
    drafts = {n: Draft(answer="yes", questions=gold_questions(n)) for n in range(1, 5)}
    harvest = found.items[0].whole
    assert [item.name for item in found.items] == ["harvest"]
    assert (harvest.calls, harvest.prompt_tokens) == (4, sum(prompt_words(f"Is thing {n} a thing?", draft) for n, draft in drafts.items()))
    gold = "Q1. What is thing 1?\nThing 1 is known.\nFinal answer: Is thing 1 a thing?\nThe answer is no."
    assert harvest.completion_tokens == 4 * len(gold.split())
    assert found.drafts == {"gold sub-questions as stand-ins": 6}
    assert found.replies == {"gold annotations": 6}
    assert harvest.online_usd == pytest.approx((harvest.prompt_tokens * 10 + harvest.completion_tokens * 20) / 1e6)
    assert harvest.batch_usd == pytest.approx(harvest.online_usd / 2)
    assert found.items[0].left == harvest and found.comparison is None
    assert [item.calls for item in found.student] == [8, 4, 2]


async def test_questions_without_annotations_have_typical_ones_and_a_mean_reply(data: Path, runs: Path) -> None:
    write_rows(data / "train.jsonl", [question_row(1), question_row(2, decomposed=False, facts=False)])
    found = await made(config(data, harvest={"max_questions": 1}), runs)
    assert found.drafts == {"gold sub-questions as stand-ins": 3, "typical questions as stand-ins": 1}
    assert found.replies == {"gold annotations": 3, "a mean length": 1}
    assert found.items[0].whole.completion_tokens == 2 * 20
    assert any("neither a recorded answer nor annotations" in note for note in found.notes)


async def test_recorded_answers_go_before_earlier_replies_and_those_before_gold(data: Path, runs: Path) -> None:
    write_rows(data / "recorded.jsonl", [recording(1), recording(1, "no"), recording(99)])
    short = "The answer is yes."
    write_harvest(runs, "old", replied(1, short), replied(2, short), replied(3, short, backend="other"))
    found = await made(config(data, data={"recordings": ["recorded.jsonl"]}), runs)
    assert found.replies == {"gold annotations": 4, "recorded answers": 1, "replies of earlier runs": 1}
    assert found.items[0].whole.completion_tokens == len(recording(1)["completion"].split()) + 4 + 2 * 20


async def test_drafts_of_the_newest_run_of_the_same_prompt_stand(data: Path, runs: Path) -> None:
    old = write_harvest(runs, "old", drafted(1, "An old one?"), drafted(2, "Why so?"), drafted(3, "Another prompt?", version="clarify-00000000"))
    new = write_harvest(runs, "new", drafted(1, "A new one, is it?"), torn='{"sample_id": "q4", "sta')
    os.utime(old, (1, 1))
    before = new.read_bytes()
    found = await made(config(data), runs)
    real = {1: ["A new one, is it?"], 2: ["Why so?"]}
    prompts = [prompt_words(f"Is thing {n} a thing?", Draft(answer="no", questions=questions)) for n, questions in real.items()]
    stand_ins = [prompt_words(f"Is thing {n} a thing?", Draft(answer="yes", questions=gold_questions(n))) for n in (3, 4)]
    assert found.items[0].whole.prompt_tokens == sum(prompts) + sum(stand_ins)
    assert found.drafts == {"gold sub-questions as stand-ins": 4, "drafts of earlier runs": 2}
    assert new.read_bytes() == before


async def test_what_is_done_and_what_is_cached_is_not_paid_again(data: Path, runs: Path) -> None:
    write_harvest(runs, "mine", drafted(1, "Why?"), replied(1, "The answer is yes."), drafted(2, "Why?"), drafted(3, "Why?"))
    asked = teacher(in_cache={"q2", "q4"})
    found = await estimate(config(data), RunStore(runs, "mine"), asked, Words(), runs, "", words_for)
    assert (found.done, found.cached) == (1, 1)
    assert (found.items[0].whole.calls, found.items[0].left.calls) == (4, 2)
    (request,) = asked.asked_about
    bodies = {body["metadata"]["question_id"]: body for body in request.requests}
    assert (request.model, bodies.keys()) == ("paid", {"q2", "q3"})
    prompt = TASK.prompt("teacher", "Is thing 2 a thing?", draft=Draft(answer="no", questions=["Why?"]))
    assert [Message.model_validate(message) for message in bodies["q2"]["messages"]] == prompt
    assert found.total.left.online_usd is not None and found.total.whole.online_usd is not None
    assert found.total.left.online_usd < found.total.whole.online_usd
    assert "left (1 done, 1 cached)" in found.as_text()


async def test_an_edited_prompt_makes_done_rows_count_again(data: Path, runs: Path) -> None:
    stale = replied(1, "The answer is yes.").model_copy(update={"prompt_version": "teacher-00000000"})
    write_harvest(runs, "mine", drafted(1, "Why?"), stale)
    found = await made(config(data), runs, RunStore(runs, "mine"))
    assert (found.done, found.items[0].left.calls, found.comparison) == (0, 4, None)


async def test_the_test_asks_the_teacher_once_for_each_question_and_adapter(data: Path, runs: Path) -> None:
    conditions = ["base.direct", "base.assisted.teacher", "base.context.teacher", "dialogue.assisted.both", "dialogue.assisted.gold"]
    found = await made(config(data, conditions), runs, active="other")
    named = {item.name: item for item in found.items}
    assert list(named) == ["harvest", "test base.assisted.teacher", "test base.context.teacher", "test dialogue.assisted.both"]
    first, second = named["test base.assisted.teacher"], named["test base.context.teacher"]
    assert (first.whole.calls, first.left.calls, second.whole.calls, second.left.calls) == (2, 2, 2, 0)
    assert first.whole.online_usd is not None and first.whole.batch_usd == pytest.approx(first.whole.online_usd / 2)
    assert found.repeated == 2
    assert found.total.whole.calls == 10
    assert found.total.whole.batch_usd == pytest.approx(found.total.whole.online_usd / 2)


async def test_a_choice_on_held_out_rows_is_counted_beside_the_test(data: Path, runs: Path) -> None:
    settings = config(data, ["base.assisted.teacher", "base.direct"], data={"held_out": 2}, choose={"conditions": ["base.assisted.teacher"]})
    store = RunStore(runs, "mine")
    found = await made(settings, runs, store)
    assert {item.name: item.whole.calls for item in found.items} == {"harvest": 2, "choose base.assisted.teacher": 2, "test base.assisted.teacher": 2}
    assert {item.name: item.calls for item in found.student} == {"draft": 4, "rewrite": 2, "choose": 6, "test": 8}
    assert "2 rows to harvest, 2 to choose by and 2 to test of strategyqa" in found.as_text()
    kept = held_out(TASK, settings.data, settings.seed)
    held_out_run(store).write_records("predictions/base.assisted.teacher.jsonl", [Prediction(sample_id=kept[0].id, answer="no")])
    assert {item.name: item.left.calls for item in (await made(settings, runs, store)).items}["choose base.assisted.teacher"] == 1


async def test_predictions_that_are_there_are_not_asked_again(data: Path, runs: Path) -> None:
    store = RunStore(runs, "mine")
    store.write_records("predictions/base.assisted.teacher.jsonl", [Prediction(sample_id="q11", answer="no")])
    found = await made(config(data, ["base.assisted.teacher"]), runs, store)
    assert (found.items[1].whole.calls, found.items[1].left.calls, found.done) == (2, 1, 1)


async def test_drafts_of_other_runs_are_another_students_where_an_earlier_one_drafts(data: Path, runs: Path) -> None:
    write_harvest(runs, "old", drafted(1, "An old one?"), replied(1, "The answer is yes."))
    store = RunStore(runs, "mine")
    found = await made(config(data, previous="old"), runs, store)
    assert found.drafts == {"gold sub-questions as stand-ins": 6}
    assert found.replies == {"replies of earlier runs": 1, "gold annotations": 5}
    write_harvest(runs, "mine", drafted(2, "My own?"))
    found = await made(config(data, previous="old"), runs, store)
    assert found.drafts == {"gold sub-questions as stand-ins": 5, "drafts of earlier runs": 1}


async def test_drafts_at_hand_are_exact_for_the_base_model_alone(data: Path, runs: Path) -> None:
    write_harvest(runs, "other", drafted(11, "Why?"))
    found = await made(config(data, ["base.assisted.teacher", "dialogue.assisted.teacher"]), runs, in_cache={"q11"})
    assert {item.name: item.left.calls for item in found.items[1:]} == {"test base.assisted.teacher": 1, "test dialogue.assisted.teacher": 2}


async def test_a_second_try_is_expected_where_a_recorded_verdict_is_wrong(data: Path, runs: Path) -> None:
    write_rows(data / "recorded.jsonl", [recording(1, "yes"), recording(2, "yes"), recording(3, "maybe")])
    found = await made(config(data, harvest={"hint": True}, data={"recordings": ["recorded.jsonl"]}), runs)
    first, second = found.items
    assert (second.name, second.whole.calls) == ("harvest, second try", 1)
    assert second.whole.prompt_tokens > first.whole.prompt_tokens / 4


async def test_an_unknown_price_is_said_and_never_zero(data: Path, runs: Path) -> None:
    found = await made(config(data), runs, known=False)
    assert (found.total.whole.online_usd, found.total.whole.batch_usd) == (None, None)
    text = found.as_text()
    assert "not known" in text and "set price_per_million_prompt_usd" in text


async def test_recorded_answers_are_priced_as_the_model_they_came_from(data: Path, runs: Path) -> None:
    write_rows(data / "recorded.jsonl", [recording(1), recording(2), recording(3, model="gpt-x")])
    settings = config(data, harvest={"teacher": "replay"}, data={"recordings": ["recorded.jsonl"]})
    found = await made(settings, runs, active="replay")
    whole = found.total.whole
    assert (whole.online_usd, whole.batch_usd, found.cached) == (0.0, None, None)
    assert whole.other_online_usd == pytest.approx((whole.prompt_tokens * 30 + whole.completion_tokens * 60) / 1e6)
    assert whole.other_batch_usd == pytest.approx(whole.other_online_usd / 2)
    assert found.plan[0].here_online_usd == pytest.approx(12.0)


async def test_a_model_to_price_as_that_is_not_known_is_refused_and_a_recorded_one_left_out(data: Path, runs: Path) -> None:
    with pytest.raises(InvalidInput, match="--price-as: OpenAI's price of 'gpt-x' is not known"):
        await made(config(data), runs, price_as="gpt-x")
    assert (await made(config(data), runs, price_as="gpt-4")).other_price is not None
    write_rows(data / "recorded.jsonl", [recording(1, model="my-model")])
    found = await made(config(data, harvest={"teacher": "replay"}, data={"recordings": ["recorded.jsonl"]}), runs)
    assert found.other_price is None


async def test_a_backend_that_is_not_there_is_refused(data: Path, runs: Path) -> None:
    with pytest.raises(InvalidInput, match=r"harvest\.teacher: the teacher service has no backend 'nobody'; it has paid, other, replay"):
        await made(config(data, harvest={"teacher": "nobody"}), runs)


async def test_the_price_is_asked_for_calls_of_the_size_of_the_prompts(data: Path, runs: Path) -> None:
    asked = teacher()
    found = await estimate(config(data), None, asked, Words(), runs, "", words_for)
    assert set(asked.sizes) == {round(found.items[0].whole.prompt_tokens / 4)}


async def test_the_plans_settings_cost_what_the_plan_says(data: Path, runs: Path) -> None:
    strategyqa, hotpotqa = (await made(config(data), runs)).plan
    assert (strategyqa.gpt4_online_usd, strategyqa.gpt4_batch_usd) == (pytest.approx(12.0), pytest.approx(6.0))
    assert hotpotqa.gpt4_online_usd == pytest.approx(70.2)
    assert strategyqa.here_online_usd == pytest.approx((200_000 * 10 + 100_000 * 20) / 1e6)


async def test_the_table_is_aligned_and_the_json_says_the_same(data: Path, runs: Path) -> None:
    found = await made(config(data, ["base.assisted.teacher"]), runs, price_as="gpt-4")
    table = found.as_text().split("\n\n")[1].splitlines()
    assert len({len(line) for line in table}) == 1
    head = "to pay in all calls prompt tokens completion tokens online batch as gpt-4 its batch"
    assert " ".join(table[0].split()) == head
    assert Estimate.model_validate_json(found.model_dump_json()) == found
    assert json.loads(found.model_dump_json())["total"]["whole"]["calls"] == 6


async def test_without_a_vocabulary_the_students_counter_counts_and_is_named(data: Path, runs: Path) -> None:
    found = await estimate(config(data), None, teacher(), WordEstimate(), runs)  # gpt-x has none
    assert found.counted_by == "an estimate of 1.4 tokens a word"
    assert "tokens counted by an estimate of 1.4 tokens a word" in found.as_text()


async def test_every_seed_is_counted_and_so_is_closed_book(data: Path, runs: Path) -> None:
    family = [{"name": "dialogue", "track": "dialogue", "seeds": [1, 2, 3]}]
    one = await made(config(data, ["dialogue.assisted.teacher"]), runs)
    three = await made(config(data, ["dialogue.assisted.teacher"], adapters=family), runs)
    assert [item.name for item in three.items] == ["harvest", *(f"test dialogue-s{seed}.assisted.teacher" for seed in (1, 2, 3))]
    assert three.student[-1].calls == 3 * one.student[-1].calls
    opened, closed = [(await made(config(data, [f"base.{mode}"]), runs)).student[-1] for mode in ("direct", "closed_book")]
    assert closed == opened, "questions without passages"
