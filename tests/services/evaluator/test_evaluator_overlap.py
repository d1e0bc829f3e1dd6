"""Whether test questions stand in what was trained on."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askback.contracts.records import Sample
from askback.loop.tracks import ngrams
from askback.tasks import prompts, task_named
from askback.tasks.datafile import load_local
from askback.tasks.word_runs import words
from services.evaluator.metrics.overlap import overlaps

DATA = Path(os.environ.get("ASKBACK_DATA") or Path(__file__).parents[4] / "shared" / "data") / "strategyqa"
TASK = task_named("strategyqa")
LONG = "Would a Monoamine Oxidase candy bar cheer up a depressed friend?"
TEXTS = st.lists(st.text("ab ", min_size=1, max_size=16), max_size=8)


def asked(*questions: str) -> list[Sample]:
    return [Sample(id=f"t{i}", task="strategyqa", question=question, answer="yes") for i, question in enumerate(questions)]


def test_a_shared_run_of_eight_words() -> None:
    test = asked(LONG, "Did the Rhine ever freeze?", "Is it so?")
    texts = {"r1": "Could a monoamine oxidase candy-bar cheer up a man?", "r2": "Is it so? Who knows.", "r3": "The Rhine, ever wide"}
    (found, own) = overlaps(TASK, test, {"train": texts})
    assert (found.against, found.ngram, found.rows, found.contaminated) == ("train", 8, 3, 2)
    assert found.examples == [("t0", "r1", "a monoamine oxidase candy bar cheer up a"), ("t2", "r2", "is it so")]
    assert (own.against, own.contaminated, own.rows) == ("prompts", 0, len(prompts.roles("strategyqa")))


def test_seven_words_are_not_enough() -> None:
    texts = {"r1": "Could monoamine oxidase candy bars or a monoamine oxidase candy bar cheer up no one?"}  # "a" to "up" are seven words
    assert overlaps(TASK, asked(LONG), {"train": texts})[0].contaminated == 0
    assert overlaps(TASK, asked(LONG), {"train": texts}, ngram=7)[0].contaminated == 1


def test_a_question_in_a_prompt_is_found_and_prompts_may_be_given() -> None:
    line = next(line for role in prompts.roles("strategyqa") for line in prompts.template("strategyqa", role).splitlines() if len(words(line)) >= 8)
    assert overlaps(TASK, asked(line), {})[0].contaminated == 1
    (given_texts,) = overlaps(TASK, asked(line), {"prompts": {"x": "nothing of it"}})
    assert (given_texts.against, given_texts.rows, given_texts.contaminated) == ("prompts", 1, 0)


def test_a_few_examples_one_for_each_question() -> None:
    (found, _) = overlaps(TASK, asked(*[LONG] * 9), {"train": {"r1": LONG, "r2": LONG}})
    assert (found.contaminated, len(found.examples)) == (9, 5)
    assert [one[:2] for one in found.examples] == [(f"t{i}", "r1") for i in range(5)]


@given(TEXTS, TEXTS, st.integers(1, 5))
def test_nothing_is_missed(questions: list[str], texts: list[str], length: int) -> None:
    """Beside a search of every window of every text, and beside the filter that training rows pass."""
    found = overlaps(TASK, asked(*questions), {"train": dict(zip("abcdefgh", texts, strict=False))}, length)[0]

    def stands(question: str, text: str) -> bool:
        size = min(length, len(words(question)))
        windows = {words(text)[i : i + size] for i in range(len(words(text)))}
        return any(words(question)[i : i + size] in windows for i in range(len(words(question)) - size + 1))

    assert found.contaminated == sum(any(stands(question, text) for text in texts) for question in questions)
    assert found.contaminated >= len(ngrams.overlapping(questions, texts, length))


@pytest.mark.skipif(not DATA.exists(), reason="StrategyQA is not here")
def test_strategyqa_train_and_dev() -> None:
    train, dev = (load_local(TASK, DATA, split) for split in ("train", "dev"))
    started = time.process_time()
    found = overlaps(TASK, dev, {"train": {sample.id: sample.question for sample in train}})[0]
    seconds = time.process_time() - started
    print(f"{found.contaminated} of {len(dev)} dev questions share {found.ngram} words with {found.rows} train questions; {seconds:.2f} s")
    assert found.rows == len(train)
    assert found.contaminated <= len(dev) // 100
    assert seconds < 1
    assert overlaps(TASK, dev[:50], {"train": {sample.id: f"Q: {sample.question}\nA: no" for sample in dev}})[0].contaminated == 50
