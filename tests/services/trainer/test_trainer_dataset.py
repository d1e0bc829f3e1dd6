import pytest
from trainer_rows import Writer, dpo_row, sft_row

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Method
from services.trainer.dataset import read_dataset
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


def blank_reply() -> dict[str, object]:
    return {**sft_row(1), "completion": [{"role": "assistant", "content": " \n"}]}


@pytest.mark.parametrize(
    ("rows", "method", "complaint"),
    [
        ([sft_row(1), "{"], Method.SFT, r"a\.jsonl:2: row: "),
        ([sft_row(1), ""], Method.SFT, r"a\.jsonl:2: empty line"),
        ([sft_row(1), sft_row(2), blank_reply()], Method.SFT, r"a\.jsonl:3: completion: empty"),
        ([{**sft_row(1), "prompt": []}], Method.SFT, r"a\.jsonl:1: prompt: empty"),
        ([{**sft_row(1), "completion": [{"role": "user", "content": "yes"}]}], Method.SFT, r"a\.jsonl:1: completion: ends with role 'user'"),
        ([dpo_row(1), sft_row(2)], Method.DPO, r"a\.jsonl:2: chosen: Field required"),
        ([{**dpo_row(1), "rejected": dpo_row(1)["chosen"]}], Method.DPO, r"a\.jsonl:1: chosen and rejected are the same"),
    ],
)
def test_a_bad_row_is_named_by_its_line(settings: Settings, write_rows: Writer, rows: list[object], method: Method, complaint: str) -> None:
    path = settings.runs / "r1" / write_rows(rows)
    with pytest.raises(InvalidInput, match=complaint):
        read_dataset(path, method)


def test_bytes_that_are_no_text_are_named_by_their_line(settings: Settings) -> None:
    path = settings.runs / "r1" / "tracks" / "a.jsonl"
    path.write_bytes(b'{"prompt": "\xff"}\n')
    with pytest.raises(InvalidInput, match=r"a\.jsonl:1: not UTF-8"):
        read_dataset(path, Method.SFT)


def test_no_file_and_no_rows_are_refused(settings: Settings) -> None:
    path = settings.runs / "r1" / "tracks" / "a.jsonl"
    with pytest.raises(InvalidInput, match="no such file"):
        read_dataset(path, Method.SFT)
    path.write_text("")
    with pytest.raises(InvalidInput, match=r"a\.jsonl:1: empty line"):
        read_dataset(path, Method.SFT)
