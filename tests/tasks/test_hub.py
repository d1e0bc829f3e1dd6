"""The hub loader on files of the hub's shape, read by the `datasets` library itself."""

import json
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.tasks import task_named
from askback.tasks.hub import load_hub, splits

ROWS = [
    {
        "qid": f"q{i}",
        "term": "T",
        "description": "D",
        "question": f"Q{i}?",
        "answer": i % 2 == 0,
        "facts": ["F."],
        "decomposition": ["S?"],
        "evidence": "[]",
    }
    for i in range(40)
]


def dataset(tmp_path: Path, **files: list[dict[str, object]]) -> object:
    from datasets import load_dataset

    paths = {}
    for split, rows in files.items():
        paths[split] = str(tmp_path / f"{split}.json")
        Path(paths[split]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_dataset("json", data_files=paths, cache_dir=str(tmp_path / "cache"))


def test_dev_is_carved_from_train_with_the_seed(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, train=ROWS)
    task = task_named("strategyqa")
    train, dev = splits(task, loaded, seed=1)  # type: ignore[arg-type]
    assert (len(train), len(dev)) == (36, 4)
    assert {s.id for s in train} | {s.id for s in dev} == {row["qid"] for row in ROWS}
    assert [s.id for s in splits(task, loaded, seed=1)[1]] == [s.id for s in dev]  # type: ignore[arg-type]
    assert [s.id for s in splits(task, loaded, seed=2)[1]] != [s.id for s in dev]  # type: ignore[arg-type]
    assert dev[0].facts == ["F."]


def test_a_labelled_dev_split_is_used_as_it_is(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, train=ROWS[:30], validation=ROWS[30:])
    train, dev = splits(task_named("strategyqa"), loaded, seed=1)  # type: ignore[arg-type]
    assert [s.id for s in dev] == [row["qid"] for row in ROWS[30:]]
    assert len(train) == 30


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, train=[*ROWS[:3], ROWS[3] | {"question": ""}], validation=ROWS[:1])
    with pytest.raises(InvalidInput, match="row 4: field `question`"):
        splits(task_named("strategyqa"), loaded, seed=1)  # type: ignore[arg-type]


def test_a_hub_out_of_reach_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InvalidInput, match=r"could not be loaded from the hub .* --data DIR"):
        load_hub(task_named("strategyqa"), seed=1)
