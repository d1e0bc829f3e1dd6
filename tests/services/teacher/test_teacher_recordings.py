"""Recorded answers: storing, files, and finding them from a request."""

import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from askback.contracts.errors import InvalidInput, NotFound
from askback.contracts.teacher import Recording
from askback.tasks import task_named
from services.teacher.answers.provenance import request_hash
from services.teacher.answers.recorded_backend import RecordedBackend
from services.teacher.answers.recordings import Recordings
from services.teacher.request.asked import Asked, asked_question
from services.teacher.storage.database import Database

Ask = Callable[..., Asked]


def row(question_id: str = "q1", question: str = "Is water wet?", completion: str = "Yes.", index: int = 0) -> Recording:
    return Recording(question_id=question_id, question=question, completion=completion, model="gpt-4", sample_index=index)


@pytest.fixture
def recordings(database: Database) -> Recordings:
    return Recordings(database)


def text(backend: RecordedBackend, asked: Asked) -> str:
    content: str = orjson.loads(backend.find(asked).body)["choices"][0]["message"]["content"]
    return content


def test_found_by_id_by_text_and_by_sample(recordings: Recordings, ask: Ask) -> None:
    assert recordings.store("replay", [row(), row(completion="Maybe.", index=1), row("q2", "Is fire hot?", "Hot.")]) == 3
    backend = RecordedBackend("replay", recordings)
    asked = ask("no question here", metadata={"question_id": "q2"})
    found = backend.find(asked)
    assert (text(backend, asked), found.model, found.cost_usd, found.prompt_tokens) == ("Hot.", "gpt-4", 0.0, 0)
    assert text(backend, ask("Q: Is water wet?")) == "Yes."
    assert text(backend, ask("Q: Is water wet?", metadata={"sample_index": "1"})) == "Maybe."
    assert text(backend, ask("Q: Is water wet?", metadata={"question_id": "unknown"})) == "Yes."


def test_the_exact_request_is_found_before_its_question(recordings: Recordings, ask: Ask) -> None:
    exact = ask("Q: Is water wet?\nStudent draft: no", metadata={"question_id": "q1"})
    recorded = row(completion="To this draft: yes.").model_copy(update={"request_hash": request_hash(exact)})
    recordings.store("replay", [row(), recorded])
    backend = RecordedBackend("replay", recordings)
    assert text(backend, exact) == "To this draft: yes."
    assert text(backend, ask("Q: Is water wet?\nStudent draft: yes", metadata={"question_id": "q1"})) == "Yes."


def test_absent_is_not_found_and_says_what_was_sought(recordings: Recordings, ask: Ask) -> None:
    recordings.store("gold", [row()])
    recordings.store("replay", [row("other", "")])
    backend = RecordedBackend("replay", recordings)
    with pytest.raises(NotFound, match="no recording for question_id 'q1' or question 'Is water wet\\?' with sample_index 0"):
        backend.find(ask("Q: Is water wet?", metadata={"question_id": "q1"}))
    with pytest.raises(NotFound, match="sample_index 2"):
        RecordedBackend("gold", recordings).find(ask("Q: Is water wet?", metadata={"sample_index": "2"}))
    with pytest.raises(NotFound, match="names no question"):
        backend.find(ask("Is water wet?"))


def test_an_equal_key_is_overwritten(recordings: Recordings) -> None:
    recordings.store("replay", [row(completion="old")])
    recordings.store("replay", [row(completion="new")])
    found = recordings.find("replay", "", "q1", "", 0)
    assert found == ("new", "gpt-4")


@pytest.mark.parametrize(
    ("bad", "complaint"), [(row(""), "question_id is empty"), (row(completion=" "), "completion is empty"), (row(index=-1), "-1")]
)
def test_a_bad_row_is_named_and_nothing_is_stored(recordings: Recordings, bad: Recording, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=rf"recordings\[1\]: .*{complaint}"):
        recordings.store("replay", [row("fine"), bad])
    assert recordings.find("replay", "", "fine", "", 0) is None


@pytest.mark.parametrize("name", ["strategyqa", "hotpotqa"])
def test_the_question_is_found_in_the_prompts_of_the_tasks(name: str, ask: Ask) -> None:
    from askback.contracts.records import Draft, Passage

    draft = Draft(answer="yes\nQ: Is fire hot?", questions=["What is\nQ: water?"])
    passages = [Passage(id="1", title="Water", sentences=["It is a liquid."])]
    messages = task_named(name).prompt("teacher", "Is water wet?", passages=passages, draft=draft)
    assert asked_question({"messages": [message.model_dump() for message in messages]}) == "Is water wet?"


def test_only_the_last_user_message_is_read() -> None:
    roles = [("user", "Q: first?"), ("assistant", "Q: mine?"), ("user", "Q: last?"), ("assistant", "Q: mine again?")]
    assert asked_question({"messages": [{"role": role, "content": text} for role, text in roles]}) == "last?"


def write_jsonl(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_files_are_followed_and_posted_rows_stay(recordings: Recordings, tmp_path: Path) -> None:
    file = write_jsonl(
        tmp_path / "a.jsonl",
        {"qid": "f1", "question": "One?", "model": "gpt-4", "completion": "one\u2028line", "extra": 1},
        {"question_id": "q1", "question": "Is water wet?", "completion": "from file", "sample_index": 0},
    )
    recordings.store("replay", [row(completion="posted")])
    assert recordings.follow_file("replay", tmp_path) == 2
    found = [recordings.find("replay", "", question_id, "", 0) for question_id in ("f1", "q1")]
    assert [answer and answer[0] for answer in found] == ["one\u2028line", "posted"]
    write_jsonl(file, {"qid": "f2", "question": "Two?", "completion": "two"})
    recordings.follow_file("replay", file)
    assert recordings.find("replay", "", "f1", "One?", 0) is None
    two = recordings.find("replay", "", "", "Two?", 0)
    assert two == ("two", "recorded")
    recordings.follow_file("replay", None)
    assert recordings.find("replay", "", "f2", "Two?", 0) is None
    assert recordings.find("replay", "", "q1", "", 0) is not None


GOOD = {"qid": "f1", "question": "One?", "completion": "one"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (json.dumps(GOOD) + "\n{", r"a\.jsonl:2: not JSON"),
        ("[1]", r"a\.jsonl:1: the row is not an object"),
        (json.dumps(GOOD | {"qid": 7}), r"a\.jsonl:1: qid or question_id must be a text"),
        (json.dumps({"qid": "x", "question": "y"}), r"a\.jsonl:1: completion must be a text"),
        (json.dumps(GOOD | {"sample_index": True}), r"a\.jsonl:1: sample_index must be a whole number"),
        (json.dumps(GOOD | {"completion": ""}), r"a\.jsonl:1: completion is empty"),
        (json.dumps(GOOD | {"completion": "\ud800"}), r"a\.jsonl:1: .*surrogate"),
        (json.dumps(GOOD) + "\n\n" + json.dumps(GOOD), r"a\.jsonl:3: .*stands already at .*a\.jsonl:1"),
    ],
)
def test_a_bad_file_row_is_named(recordings: Recordings, tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=complaint):
        recordings.follow_file("replay", tmp_path)


def test_missing_empty_and_binary_paths_are_named(recordings: Recordings, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.jsonl"):
        with pytest.raises(InvalidInput, match="no recordings here"):
            recordings.follow_file("replay", path)
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        recordings.follow_file("replay", tmp_path)
