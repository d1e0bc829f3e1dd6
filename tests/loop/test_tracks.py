from collections import Counter

import pytest

from askback.contracts.records import Draft, Exchange, Sample, TeacherReply, Trace
from askback.loop import data_card, tracks
from askback.loop.config import TracksConfig
from askback.tasks import task_named

TASK = task_named("strategyqa")


def trace(number: int, gold: str = "yes", said: str = "yes", draft: str = "no", exchanges: int = 2) -> Trace:
    pairs = [Exchange(question=f"Which {i}?", answer=f"It is {i}.") for i in range(exchanges)]
    return Trace(
        sample=Sample(id=f"q{number}", task="strategyqa", question=f"Q{number}?", answer=gold),
        draft=Draft(answer=draft, questions=["What?"]),
        reply=TeacherReply(exchanges=pairs, thought="It is 0. It is 1.", answer=said, text="..."),
        rewrite="yes",
        backend="replay",
    )


def test_rejection_sampling_and_balance_with_counts() -> None:
    traces = [trace(i, gold="yes" if i < 6 else "no", said="yes" if i < 8 else "no") for i in range(12)]
    kept, steps = tracks.select(TracksConfig(), TASK, traces, seed=1)
    assert Counter(one.sample.answer for one in kept) == {"yes": 4, "no": 4}
    assert [(step["filter"], step["before"], step["after"]) for step in steps] == [("teacher agrees with gold", 12, 10), ("classes balanced", 10, 8)]
    assert steps[1]["classes_before"] == {"no": 4, "yes": 6}
    assert [one.sample.id for one in kept] == sorted((one.sample.id for one in kept), key=lambda name: int(name[1:]))


def test_filters_can_be_switched_off() -> None:
    traces = [trace(0), trace(1, said="no")]
    assert tracks.select(TracksConfig(keep_wrong=True, balance=False), TASK, traces, seed=1) == (traces, [])


def test_every_track_has_its_form() -> None:
    built = tracks.build(TASK, [trace(1)], 2)
    last = {name: rows[-1] for name, rows in built.items()}
    assert {name: row.completion[0].content for name, row in last.items() if name != "preference"} == {  # type: ignore[union-attr]
        "direct": "yes",
        "cot": "It is 0. It is 1.\nThe answer is yes",
        "context": "yes",
        "dialogue": "yes",
    }
    pair = last["preference"]
    assert (pair.chosen[0].content, pair.rejected[0].content) == ("yes", "no")  # type: ignore[union-attr]
    asking, answering = built["dialogue"]
    assert asking.completion[0].content == "1. Which 0?\n2. Which 1?"  # type: ignore[union-attr]
    assert [message.role for message in answering.prompt] == ["user", "assistant", "user"]


@pytest.mark.parametrize("track", ["direct", "cot", "context", "dialogue", "preference"])
def test_prompts_never_hold_the_verdict(track: str) -> None:
    for row in tracks.build(TASK, [trace(1)], 2)[track]:
        text = " ".join(message.content for message in row.prompt)
        assert "The answer is" not in text


def test_the_dialogue_takes_at_most_the_allowed_questions_and_needs_one() -> None:
    assert tracks.build(TASK, [trace(1, exchanges=3)], 1)["dialogue"][0].completion[0].content == "1. Which 0?"  # type: ignore[union-attr]
    assert tracks.build(TASK, [trace(1, exchanges=0)], 2)["dialogue"] == []


def test_pairs_need_a_right_teacher_and_a_wrong_draft() -> None:
    traces = [trace(1), trace(2, draft="yes"), trace(3, said="no", draft="no")]
    assert [row.sample_id for row in tracks.build(TASK, traces, 2)["preference"]] == ["q1"]


def test_pairs_are_balanced_again_and_one_class_alone_is_kept() -> None:
    traces = [trace(i, gold="no" if i < 5 else "yes", said="no" if i < 5 else "yes", draft="yes" if i < 5 else "no") for i in range(7)]
    pairs = tracks.build(TASK, traces, 2)["preference"]
    kept, steps = tracks.select_pairs(TracksConfig(), TASK, traces, pairs, seed=1)
    assert Counter(row.label for row in kept) == {"no": 2, "yes": 2}
    assert [(step["before"], step["after"]) for step in steps] == [(7, 7), (7, 4)]
    alone = [row for row in pairs if row.label == "no"]
    assert tracks.select_pairs(TracksConfig(), TASK, traces[:5], alone, seed=1)[0] == alone


def test_the_card_counts_what_is_there() -> None:
    from askback.loop.config import parse_config

    raw = {"name": "t", "task": "strategyqa", "adapters": [{"name": "a", "track": "direct"}], "evaluate": {"conditions": ["base.direct"]}}
    traces = [trace(1), trace(2, gold="no", said="no", draft="yes")]
    kept, steps = tracks.select(TracksConfig(), TASK, traces, seed=1)
    card = data_card.card(parse_config(raw, "t"), TASK, traces, steps, tracks.build(TASK, kept, 2))
    assert card["tracks"]["dialogue"] == {"rows": 4, "classes": {"no": 2, "yes": 2}}
    assert "| teacher agrees with gold | 2 | 2 | no 1, yes 1 | no 1, yes 1 |" in data_card.markdown(card)
