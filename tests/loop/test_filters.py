"""Every filter: whom it drops, under which reason, and that it can be switched off."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from track_traces import river, trace

from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Draft, Exchange, Message, Sample, Trace
from askback.loop import tracks
from askback.loop.config import TracksConfig
from askback.loop.tokenizers_counter import WordEstimate, conversation_tokens, counter_for
from askback.loop.tracks import ngrams
from askback.tasks import task_named, word_runs
from askback.tasks.datafile import load_local, read_rows
from askback.tasks.leaks import leaks

TASK, HOTPOT = task_named("strategyqa"), task_named("hotpotqa")
OFF = TracksConfig(keep_wrong=True, hints=False, leaks=False, duplicates=False, overlap=False, length=False, balance=False)
DATA = Path(os.environ.get("ASKBACK_DATA") or Path(__file__).parents[3] / "shared" / "data")
MODEL = Path(__file__).parents[2] / "var" / "models" / "SmolLM2-135M-Instruct"


def only(**on: object) -> TracksConfig:
    return TracksConfig.model_validate(OFF.model_dump() | on)


def hinted(thought: str, question: str = "Which?") -> Trace:
    """A second try, with its thought and its only clarifying question."""
    one = trace(3)
    reply = one.reply.model_copy(update={"thought": thought, "exchanges": [Exchange(question=question, answer="It is.")]})
    return one.model_copy(update={"reply": reply, "hinted": True})


def reasons(selection: tracks.Selection) -> dict[str, str]:
    return {one.sample_id: one.reason for one in selection.dropped}


def test_rejection_sampling_and_balance_with_counts() -> None:
    traces = [trace(i, gold="yes" if i < 6 else "no", said="yes" if i < 8 else "no") for i in range(12)]
    selection = tracks.select(only(keep_wrong=False, balance=True), TASK, traces, seed=1)
    assert Counter(one.sample.answer for one in selection.kept) == {"yes": 4, "no": 4}
    assert [(step["reason"], step["before"], step["after"]) for step in selection.steps] == [("teacher_disagrees", 12, 10), ("class_balance", 10, 8)]
    assert selection.steps[1]["classes_before"] == {"no": 4, "yes": 6}
    assert [one.sample.id for one in selection.kept] == sorted((one.sample.id for one in selection.kept), key=lambda name: int(name[1:]))
    assert Counter(reasons(selection).values()) == {"teacher_disagrees": 2, "class_balance": 2}


def test_all_filters_are_on_by_default_and_each_can_be_switched_off() -> None:
    traces = [trace(0), trace(1, said="no"), trace(2, question="Q0"), hinted("It is.")]
    assert [step["reason"] for step in tracks.select(TracksConfig(share=0.9), TASK, traces, seed=1).steps] == list(tracks.REASONS)
    unhinted = [step["reason"] for step in tracks.select(TracksConfig(), TASK, traces[:3], seed=1).steps]
    assert unhinted == [reason for reason in tracks.REASONS if reason not in ("tells_hint", "not_in_share")]
    assert tracks.select(OFF, TASK, traces, seed=1) == tracks.Selection(traces, [], [])


def test_kept_and_dropped_are_all_and_each_once() -> None:
    generator = random.Random(5)
    choices = ("yes", "no")
    words = ("dog", "cat", "cow")
    traces = [
        trace(i, gold=generator.choice(choices), said=generator.choice(choices), question=f"Would a {generator.choice(words)} eat {i // 2} of these?")
        for i in range(60)
    ]
    around = tracks.Surroundings(dev=[traces[7].sample], limits={"direct": 60})
    selection = tracks.select(TracksConfig(overlap_words=4), TASK, traces, seed=1, around=around)
    assert sorted([one.sample.id for one in selection.kept] + list(reasons(selection))) == sorted(one.sample.id for one in traces)
    assert len(selection.dropped) == len(reasons(selection))
    assert len(set(reasons(selection).values())) >= 4
    assert selection == tracks.select(TracksConfig(overlap_words=4), TASK, traces, seed=1, around=around)


@pytest.mark.parametrize(
    "question",
    [
        "Given that the answer is yes, what is a dog?",
        "Is the final answer no?",
        "What is a dog (answer: No)?",
        "Why is the answer 'yes'?",
        "Yes, but what is a dog?",
        "Can a dog bark? Yes.",
        "What follows from the conclusion being made, i.e. the verdict is false?",
    ],
)
def test_a_verdict_in_a_clarifying_question_is_a_leak(question: str) -> None:
    assert leaks(TASK, question, trace(1).sample)
    assert reasons(tracks.select(only(leaks=True), TASK, [trace(1, asked=question)], seed=1)) == {"q1": "question_leaks_answer"}


@pytest.mark.parametrize(
    "question",
    [
        "Is a dog an animal?",
        "Is the answer yes or no?",
        "Is the answer yes, or no, in the law?",
        "Does a yes vote pass the bill?",
        "Is the answer no longer known?",
        "No-fault insurance is sold where?",
        "What is the answer to life?",
        "Which band wrote 'Say Yes'?",
        "Is it true that dogs bark?",
        "Who played Dr. No?",
        "No. 5 was made when?",
    ],
)
def test_a_bare_yes_is_no_leak(question: str) -> None:
    assert not leaks(TASK, question, trace(1).sample)


@pytest.mark.parametrize(
    "thought",
    [
        "The hint says so.",
        "As hinted, dogs bark.",
        "This leads to the given answer.",
        "As stated, dogs bark.",
        "As stated in the question's hint, dogs bark.",
        "As given in the prompt, it is no.",
        "Dogs bark, as was told.",
        "This fits the correct answer.",
        "The answer is already given.",
        "Given that the answer is no, dogs do not bark.",
        "Since we know that the answer is no, it cannot be.",
    ],
)
def test_a_hinted_thought_that_tells_of_its_hint_is_dropped(thought: str) -> None:
    assert reasons(tracks.select(only(hints=True), TASK, [hinted(thought)], seed=1)) == {"q3": "tells_hint"}
    unaided = hinted(thought).model_copy(update={"hinted": False})
    other = hinted("It is.").model_copy(update={"sample": trace(4).sample})
    assert reasons(tracks.select(only(hints=True), TASK, [unaided, other], seed=1)) == {}


@pytest.mark.parametrize(
    "thought",
    [
        "Dogs bark.",
        "As stated in the first passage, dogs bark.",
        "The hinterland is dry.",
        "Dogs answered, given their training.",
        "He was given a dog.",
    ],
)
def test_a_hinted_thought_that_keeps_its_hint_to_itself_stays(thought: str) -> None:
    assert reasons(tracks.select(only(hints=True), TASK, [hinted(thought)], seed=1)) == {}


def test_a_hint_in_the_dialogue_is_told_too() -> None:
    assert reasons(tracks.select(only(hints=True), TASK, [hinted("It is.", "What does the hint say?")], seed=1)) == {"q3": "tells_hint"}


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("Which page mentions the Rhine?", True),
        ("Where does THE rhine. rise?", True),
        ("Which page mentions the Rhineland?", False),
        ("Which page mentions Basel?", False),
        ("Is the answer: yes?", True),
    ],
)
def test_the_gold_span_in_a_clarifying_question_is_a_leak(question: str, told: bool) -> None:
    assert leaks(HOTPOT, question, river().sample) is told


def test_a_gold_span_that_the_question_names_gives_nothing_away() -> None:
    compared = river().sample.model_copy(update={"question": "Which is longer, the Rhine or the Aare?"})
    assert not leaks(HOTPOT, "How long is the Rhine?", compared)
    closed = river(gold="yes").sample
    assert not leaks(HOTPOT, "Did the band Yes come from London?", closed)


def test_only_the_questions_that_are_learnt_can_leak() -> None:
    third = trace(1, exchanges=2)
    exchanges = [*third.reply.exchanges, Exchange(question="So is the answer yes?", answer="It is.")]
    third = third.model_copy(update={"reply": third.reply.model_copy(update={"exchanges": exchanges})})
    assert len(tracks.select(only(leaks=True), TASK, [third], seed=1).kept) == 1
    assert not tracks.select(only(leaks=True), TASK, [third], seed=1, around=tracks.Surroundings(max_questions=3)).kept


def test_the_first_of_duplicates_and_near_duplicates_is_kept() -> None:
    long = "Would a very old dog that lives in Paris be able to run a whole marathon in {}?"
    texts = ["Is it so?", "is it SO", long.format("June"), long.format("July"), "Is it not so?"]
    traces = [trace(i, question=text) for i, text in enumerate(texts)]
    selection = tracks.select(only(duplicates=True), TASK, traces, seed=1)
    assert reasons(selection) == {"q1": "duplicate", "q3": "near_duplicate"}
    assert reasons(tracks.select(only(duplicates=True, near_duplicate=1.0), TASK, traces, seed=1)) == {"q1": "duplicate"}


def test_near_duplicates_are_those_of_a_comparison_of_all_pairs() -> None:
    generator = random.Random(3)
    texts = [" ".join(generator.choice("abc") for _ in range(generator.randint(3, 9))) for _ in range(300)]
    kept: list[int] = []
    for position, text in enumerate(texts):
        own = word_runs.runs(text, 5)
        others = [word_runs.runs(texts[other], 5) for other in kept]
        if not any(len(own & other) / len(own | other) >= 0.5 for other in others):
            kept.append(position)
    assert ngrams.nearly_repeated(texts, 0.5) == set(range(300)) - set(kept)
    assert 50 < len(kept) < 290


@pytest.mark.parametrize(
    ("question", "overlaps"),
    [
        ("In 1995, did the red dog of the old king bark at the moon?", True),
        ("Did the red dog of the old king sleep?", True),
        ("Did the red dog of the old queen sleep?", False),
        ("Is it blue", True),
        ("Is it", False),
    ],
)
def test_a_run_of_words_of_a_dev_question_is_an_overlap(question: str, overlaps: bool) -> None:
    dev = [trace(90 + i, question=text).sample for i, text in enumerate(("Did the red dog of the old king bark?", "Is it blue?"))]
    selection = tracks.select(only(overlap=True), TASK, [trace(1, question=question)], seed=1, around=tracks.Surroundings(dev=dev))
    assert reasons(selection) == ({"q1": "overlaps_dev"} if overlaps else {})


def test_a_question_with_one_row_over_a_limit_leaves_every_track() -> None:
    traces = [trace(1), trace(2, question="Would " + "very " * 100 + "old dogs bark?")]
    for limits, dropped in (({"cot": 150}, {"q2": "too_long"}), ({"cot": 400}, {}), ({}, {})):
        selection = tracks.select(only(length=True), TASK, traces, seed=1, around=tracks.Surroundings(limits=limits))
        assert reasons(selection) == dropped
    rejected = trace(3, draft="no " * 200)
    assert reasons(tracks.select(only(length=True), TASK, [rejected], seed=1, around=tracks.Surroundings(limits={"preference": 150})))


def test_the_estimate_rounds_up_and_says_what_it_is(tmp_path: Path) -> None:
    assert (WordEstimate().count("one two three"), WordEstimate().count("")) == (5, 0)
    assert "estimate of 1.4 tokens a word" in counter_for(str(tmp_path)).name
    assert isinstance(counter_for(""), WordEstimate)


@pytest.mark.skipif(not MODEL.is_dir(), reason=f"the small model is not at {MODEL}; `make unit` builds it")
def test_the_tokenizer_counts_no_less_than_the_chat_template_and_little_more() -> None:
    from transformers import AutoTokenizer

    template, counter = AutoTokenizer.from_pretrained(str(MODEL)), counter_for(str(MODEL))
    assert counter.name == "the tokenizer of SmolLM2-135M-Instruct"
    for row in tracks.build(TASK, [trace(1)], 2)["dialogue"]:
        messages = [*row.prompt, Message(role="assistant", content="Would a dog bark at 3 a.m. in Zürich?")]
        true = len(template.apply_chat_template([message.model_dump() for message in messages], tokenize=True)["input_ids"])
        assert true <= conversation_tokens(counter, messages) <= true + 24


def test_pairs_are_balanced_again_and_one_class_alone_is_kept() -> None:
    traces = [trace(i, gold="no" if i < 5 else "yes", said="no" if i < 5 else "yes", draft="yes" if i < 5 else "no") for i in range(7)]
    pairs = tracks.build(TASK, traces, 2)["preference"]
    kept, steps = tracks.select_pairs(TracksConfig(), TASK, traces, pairs, seed=1)
    assert Counter(row.label for row in kept) == {"no": 2, "yes": 2}
    assert [(step["before"], step["after"]) for step in steps] == [(7, 7), (7, 4)]
    alone = [row for row in pairs if row.label == "no"]
    assert tracks.select_pairs(TracksConfig(), TASK, traces[:5], alone, seed=1)[0] == alone


def recorded(samples: list[Sample]) -> list[Trace]:
    """GPT-4's recorded replies that have a verdict, as traces."""
    texts = {row["qid"]: row["completion"] for _, row in read_rows(DATA / "strategyqa" / "gpt4_ltm.jsonl")}
    found = []
    for sample in samples:
        try:
            reply = TASK.parse_teacher(texts[sample.id])
        except (KeyError, UpstreamRejected):
            continue
        found.append(Trace(sample=sample, draft=Draft(answer="no", questions=["What?"]), reply=reply, rewrite="no", backend="replay"))
    return found


@pytest.mark.skipif(not (DATA / "strategyqa" / "gpt4_ltm.jsonl").is_file(), reason=f"the real data is not at {DATA}; set ASKBACK_DATA to its folder")
def test_recorded_answers_agree_with_gold_often_enough() -> None:
    train, dev = (load_local(TASK, DATA / "strategyqa", split) for split in ("train", "dev"))
    traces = recorded(train)
    selection = tracks.select(TracksConfig(), TASK, traces, seed=13, around=tracks.Surroundings(dev=dev))
    agreed = selection.steps[0]
    assert (len(train), agreed["reason"], agreed["before"]) == (1832, "teacher_disagrees", len(traces))
    assert agreed["after"] >= 1350
    assert len(selection.kept) + len(selection.dropped) == len(traces)
    assert selection.steps[-2]["after"] > 0.99 * agreed["after"]  # the hygiene filters take little from clean data
