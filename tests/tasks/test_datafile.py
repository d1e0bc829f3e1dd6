import json
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.tasks import task_named
from askback.tasks.datafile import load_local

TASK = task_named("strategyqa")
GOOD = '{"qid": "a", "question": "A?", "answer": true}'


def folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def test_rows_in_order(tmp_path: Path) -> None:
    assert [sample.id for sample in load_local(TASK, folder(tmp_path, GOOD + "\n\n" + GOOD.replace('"a"', '"b"') + "\n"), "train")] == ["a", "b"]


def test_a_line_separator_inside_a_text_does_not_split_the_row(tmp_path: Path) -> None:
    text = json.dumps({"qid": "a", "question": "A\u2028B?", "answer": True}, ensure_ascii=False)
    assert load_local(TASK, folder(tmp_path, text), "train")[0].question == "A\u2028B?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "\n{oops", r"train\.jsonl:2: not JSON"),
        (GOOD + '\n{"qid": "b", "question": "B?"}', r"train\.jsonl:2: field `answer` is missing"),
        (GOOD + "\n" + GOOD, r"train\.jsonl:2: id 'a' stands already at .*train\.jsonl:1"),
        ("", "no rows"),
        ("[1]", r"train\.jsonl:1: field `qid` is missing"),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_local(TASK, folder(tmp_path, text), "train")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"dev\.jsonl: no such file"):
        load_local(TASK, tmp_path, "dev")
    with pytest.raises(InvalidInput, match="no such folder"):
        load_local(TASK, tmp_path / "nowhere", "dev")


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        load_local(TASK, tmp_path, "train")


def test_json_list_names_row_and_line(tmp_path: Path) -> None:
    task = task_named("hotpotqa")
    (tmp_path / "train.json").write_text('[{"_id": "a"}]')
    with pytest.raises(InvalidInput, match=r"train\.json, row 1: field `question`"):
        load_local(task, tmp_path, "train")
    (tmp_path / "train.json").write_text('[\n{"_id": }]')
    with pytest.raises(InvalidInput, match=r"train\.json:2: not JSON"):
        load_local(task, tmp_path, "train")
