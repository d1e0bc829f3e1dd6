import json
from typing import Any

import pytest
from trainer_rows import Writer, dpo_row, sft_row

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Method
from services.trainer.rows.dataset import LONGEST_LINE, read_dataset
from services.trainer.settings import Settings


def test_rows_keep_only_what_trl_reads(settings: Settings, write_rows: Writer) -> None:
    path = settings.runs / "r1" / write_rows([sft_row(1), sft_row(2)])
    rows = read_dataset(path, Method.SFT)
    assert rows[1].columns() == {
        "prompt": [{"role": "user", "content": "Is 2 even?"}],
        "completion": [{"role": "assistant", "content": "yes"}],
    }
    pairs = read_dataset(settings.runs / "r1" / write_rows([dpo_row(1)]), Method.DPO)
    assert set(pairs[0].columns()) == {"prompt", "chosen", "rejected"}


def test_a_line_separator_inside_a_text_does_not_break_the_row(settings: Settings, write_rows: Writer) -> None:
    row = sft_row(1)
    row["prompt"][0]["content"] = "one\u2028two\u0085three"
    rows = read_dataset(settings.runs / "r1" / write_rows([row]), Method.SFT)
    assert rows[0].prompt[0].content == "one\u2028two\u0085three"


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def asked(*messages: dict[str, Any]) -> dict[str, Any]:
    return {**sft_row(1), "prompt": list(messages)}


def replied(*messages: dict[str, Any]) -> dict[str, Any]:
    return {**sft_row(1), "completion": list(messages)}


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in sft_row(1).items() if name != field}


def raw(row: dict[str, Any], old: str, new: str) -> str:
    return json.dumps(row).replace(old, new)


USER, BOT, SYSTEM = said("user", "q"), said("assistant", "a"), said("system", "s")
WHOLE = "a row for sft needs prompt, completion, sample_id, label and nothing else"

POISONED_SFT = {
    "not JSON": ([sft_row(1), "{"], r"a\.jsonl:2: row: .*; a row for sft needs prompt"),
    "a list": (["[]"], rf"a\.jsonl:1: row: .*object.*; {WHOLE}"),
    "blank line": ([sft_row(1), " \t"], r"a\.jsonl:2: empty line; each line must be one object, so remove it"),
    "blank lines only": (["", "", ""], r"a\.jsonl:1: empty line"),
    "blank reply": ([sft_row(1), sft_row(2), replied(said("assistant", " \n"))], r"a\.jsonl:3: completion: empty; every message needs text"),
    "blank question": ([asked(said("user", "\u2028"))], r"a\.jsonl:1: prompt: empty; every message needs text"),
    "blank system": ([asked(said("system", ""), USER)], r"a\.jsonl:1: prompt: empty"),
    "no messages": ([asked()], r"a\.jsonl:1: prompt: empty"),
    "no reply": ([replied()], r"a\.jsonl:1: completion: empty"),
    "reply of a user": ([replied(USER)], r"a\.jsonl:1: completion: ends with role 'user'; must end with 'assistant'"),
    "reply of several turns": ([replied(BOT, USER, BOT)], r"a\.jsonl:1: completion: 3 messages; a reply is one, so write a row per reply"),
    "prompt ends with assistant": ([sft_row(1), asked(USER, BOT)], r"a\.jsonl:2: prompt: ends with role 'assistant'; must end with 'user'"),
    "prompt opens with assistant": ([asked(BOT, USER)], r"a\.jsonl:1: prompt\.0: role 'assistant'; must be one of system, user"),
    "system last": ([asked(USER, SYSTEM)], r"a\.jsonl:1: prompt\.1: role 'system'; must be one of user, assistant, and system comes first alone"),
    "system alone": ([asked(SYSTEM)], r"a\.jsonl:1: prompt: ends with role 'system'"),
    "unknown role": ([asked(said("human", "q"))], r"a\.jsonl:1: prompt\.0: role 'human'; must be one of system, user"),
    "missing field": ([sft_row(1), without("completion")], rf"a\.jsonl:2: completion: Field required; {WHOLE}"),
    "missing content": ([asked({"role": "user"})], r"a\.jsonl:1: prompt\.0\.content: Field required"),
    "extra field": ([{**sft_row(1), "text": "x"}], rf"a\.jsonl:1: text: Extra inputs are not permitted; {WHOLE}"),
    "extra field of a message": ([asked({**USER, "name": "x"})], r"a\.jsonl:1: prompt\.0\.name: Extra inputs are not permitted"),
    "number as content": ([replied(said("assistant", 42))], r"a\.jsonl:1: completion\.0\.content: .*string"),
    "parts as content": ([asked(said("user", [{"type": "text", "text": "q"}]))], r"a\.jsonl:1: prompt\.0\.content: .*string"),
    "null as content": ([asked(said("user", None))], r"a\.jsonl:1: prompt\.0\.content: .*string"),
    "string as prompt": ([{**sft_row(1), "prompt": "q"}], r"a\.jsonl:1: prompt: .*(list|array)"),
    "NUL": ([sft_row(1), asked(said("user", "q\0"))], r"a\.jsonl:2: prompt: holds a NUL character; remove it"),
    "NUL byte": ([raw(sft_row(1), "Is", "I\0s")], r"a\.jsonl:1: row: .*control character"),
    "field twice": ([raw(sft_row(1), '"label"', '"label": "no", "label"')], r"a\.jsonl:1: label: given twice, .*; remove the other"),
    "content twice": ([raw(sft_row(1), '"content"', '"content": "x", "content"')], r"a\.jsonl:1: content: given twice"),
    "half a surrogate pair": ([raw(asked(said("user", "q?")), "q?", "q\\ud83d")], r"a\.jsonl:1: row: .*hex escape.*; a row for sft"),
    "surrogate of its own": ([raw(asked(said("user", "q?")), "q?", "q\\udc00 ")], r"a\.jsonl:1: row: .*surrogate.*; a row for sft"),
    "NaN": ([raw(replied(said("assistant", 7)), "7", "NaN")], r"a\.jsonl:1: completion\.0\.content: .*string"),
    "deep nesting": (["[" * 100_000], r"a\.jsonl:1: row: .*recursion"),
    "10 MB line": ([sft_row(1), asked(said("user", "q" * 10_000_000))], r"a\.jsonl:2: 10,000,\d{3} bytes in one line; .* split or leave it out"),
}


@pytest.mark.parametrize("poison", POISONED_SFT)
def test_a_poisoned_row_is_named_by_its_line_with_the_remedy(settings: Settings, write_rows: Writer, poison: str) -> None:
    rows, complaint = POISONED_SFT[poison]
    path = settings.runs / "r1" / write_rows(rows)
    with pytest.raises(InvalidInput, match=rf"^dataset: {complaint}") as refusal:
        read_dataset(path, Method.SFT)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (
            [dpo_row(1), sft_row(2)],
            r"a\.jsonl:2: chosen: Field required; a row for dpo needs prompt, chosen, rejected, sample_id, label and nothing else",
        ),
        ([{**dpo_row(1), "rejected": dpo_row(1)["chosen"]}], r"a\.jsonl:1: chosen and rejected are the same; leave out"),
        ([{**dpo_row(1), "chosen": [BOT], "rejected": [said("assistant", "a\n")]}], r"a\.jsonl:1: chosen and rejected are the same"),
        ([dpo_row(1), {**dpo_row(2), "rejected": [said("assistant", " ")]}], r"a\.jsonl:2: rejected: empty"),
        ([{**dpo_row(1), "rejected": [USER]}], r"a\.jsonl:1: rejected: ends with role 'user'"),
    ],
)
def test_a_poisoned_pair_is_named_by_its_line(settings: Settings, write_rows: Writer, rows: list[object], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        read_dataset(settings.runs / "r1" / write_rows(rows), Method.DPO)


def test_roles_that_a_template_may_know_are_taken(settings: Settings, write_rows: Writer) -> None:
    rows = [asked(SYSTEM, USER, BOT, USER), asked(USER, USER)]
    assert len(read_dataset(settings.runs / "r1" / write_rows(rows), Method.SFT)) == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"prompt": "\xff"}\n', r"a\.jsonl:1: not UTF-8 text .*; save the file as UTF-8"),
        (b"\xef\xbb\xbf{}\n", r"a\.jsonl:1: starts with a byte order mark; save the file as UTF-8 without one"),
        ("{}\n".encode("utf-16"), r"a\.jsonl:1: not UTF-8"),
        (b"", r"a\.jsonl:1: empty line"),
        (b"\n" * 50, r"a\.jsonl:1: empty line"),
        (b'"' + b"\xe2\x82\xac" * LONGEST_LINE + b'"', r"a\.jsonl:1: 12,582,914 bytes in one line"),
    ],
)
def test_bytes_that_are_no_rows_are_named_by_their_line(settings: Settings, content: bytes, complaint: str) -> None:
    path = settings.runs / "r1" / "tracks" / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=complaint):
        read_dataset(path, Method.SFT)


def test_a_file_that_is_not_there_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match=r"a\.jsonl: no such file .*; build the tracks first"):
        read_dataset(settings.runs / "r1" / "tracks" / "a.jsonl", Method.SFT)
