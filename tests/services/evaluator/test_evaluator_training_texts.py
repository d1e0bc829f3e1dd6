import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Example, Message, PreferencePair, Record, Sample
from askback.tasks import task_named
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import open_run
from services.evaluator.storage.training_texts import training_texts

Write = Callable[[Path, Iterable[Record]], None]


def say(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


@pytest.fixture
def tracks(small_run: Path, write_rows: Write) -> Path:
    write_rows(small_run / "samples" / "train.jsonl", [Sample(id="t1", task="strategyqa", question="Is it so?", answer="yes", facts=["A fact."])])
    twice = [Example(prompt=say(text), completion=say("yes"), sample_id="t1", label="yes") for text in ("Q: one", "Q: two")]
    write_rows(small_run / "tracks" / "dialogue.jsonl", twice)
    pair = PreferencePair(prompt=say("Q: one"), chosen=say("yes"), rejected=say("no"), sample_id="t1", label="yes")
    write_rows(small_run / "tracks" / "preference.jsonl", [pair])
    (small_run / "tracks" / "dropped.jsonl").write_text(json.dumps({"sample_id": "t2", "reason": "teacher_disagrees"}) + "\n")
    return small_run


def test_questions_and_tracks_by_source(tracks: Path) -> None:
    assert training_texts(open_run(tracks.parent, tracks.name)) == {
        "train": {"t1": "Is it so?"},
        "dialogue": {"t1": "Q: one\nyes", "t1 (2)": "Q: two\nyes"},
        "preference": {"t1": "Q: one\nyes\nno"},
    }


def test_the_tracks_of_a_variant_are_one_source_and_their_plain_form_none(tracks: Path, write_rows: Write) -> None:
    for folder, text in (("short", "Q: three"), ("plain", "Q: four")):
        row = Example(prompt=say(text), completion=say("yes"), sample_id="t1", label="yes")
        write_rows(tracks / "tracks" / folder / "cot.jsonl", [row])
        write_rows(tracks / "tracks" / folder / "direct.jsonl", [row])
    found = training_texts(open_run(tracks.parent, tracks.name))
    assert list(found) == ["train", "dialogue", "preference", "variant short"]
    assert found["variant short"] == {"t1": "Q: three\nyes", "t1 (2)": "Q: three\nyes"}


def test_a_run_without_training_has_none(small_run: Path) -> None:
    assert training_texts(open_run(small_run.parent, small_run.name)) == {}


def test_another_row_is_named(tracks: Path) -> None:
    file = tracks / "tracks" / "dialogue.jsonl"
    file.write_text(file.read_text() + '{"text": "hello"}\n')
    with pytest.raises(InvalidInput, match=r"demo-1/tracks/dialogue.jsonl:3: .* it must be a training row"):
        training_texts(open_run(tracks.parent, tracks.name))


def test_a_leaked_test_question_is_in_the_scores(tracks: Path, write_rows: Write) -> None:
    leaked = Sample(id="t9", task="strategyqa", question="Is 3 odd?", answer="yes")
    write_rows(tracks / "samples" / "train.jsonl", [leaked])
    scores = score_run(open_run(tracks.parent, tracks.name), task_named("strategyqa"), 0)
    counts = {overlap.against: (overlap.rows, overlap.contaminated) for overlap in scores.overlaps}
    assert counts["train"] == (1, 1)
    assert counts["dialogue"] == (2, 0)
