from pathlib import Path

import pytest
from hashing_embedder import ANIMALS, passage

from askback.contracts.errors import Conflict
from services.retriever.building.passages import write_passages
from services.retriever.storage.passage_file import PassageFile


def test_passages_are_found_by_position_and_by_title(tmp_path: Path) -> None:
    twice = passage("  cat ", "Another one.")
    write_passages([*ANIMALS, twice, passage("Ed Wood (film)", "A film.")], tmp_path)
    shelf = PassageFile(tmp_path)
    assert list(shelf)[:5] == [*ANIMALS, twice]
    assert shelf[1:3] == ANIMALS[1:3]
    assert shelf.titled("CAT") == [0, 4]
    assert shelf.titled("Cats") == []
    assert (shelf.titled("Ed Wood"), shelf.named("ed wood"), shelf.titled("ed  wood film")) == ([], [5], [5])
    with pytest.raises(IndexError):
        shelf[6]


def test_every_line_end_inside_a_passage_survives_the_file(tmp_path: Path) -> None:
    odd = [passage("Lines", "a\nb\r\nc\u2028d\u0085e\x0cf"), passage("Größe", "\U0001f40b")]
    write_passages(odd, tmp_path)
    assert list(PassageFile(tmp_path)) == odd


def test_passages_stay_readable_when_their_folder_is_removed(tmp_path: Path) -> None:
    write_passages(ANIMALS, tmp_path)
    shelf = PassageFile(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert list(shelf) == ANIMALS
    assert shelf.titled("Dog") == [1]


@pytest.mark.parametrize("name", ["passages.jsonl", "passages.offsets.npy", "titles.hash.npy", "titles.row.npy"])
@pytest.mark.parametrize("size", [None, 0, 40, -1])
def test_a_file_that_is_missing_or_cut_is_named(tmp_path: Path, name: str, size: int | None) -> None:
    write_passages(ANIMALS, tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink() if size is None else (tmp_path / name).write_bytes(content[:size])
    with pytest.raises(Conflict, match=rf"{name.split('.')[0]}.*index the passages again") as error:
        PassageFile(tmp_path)
    assert "\n" not in str(error.value)


def test_a_line_that_is_no_passage_is_named_when_it_is_read(tmp_path: Path) -> None:
    write_passages(ANIMALS, tmp_path)
    content = bytearray((tmp_path / "passages.jsonl").read_bytes())
    content[content.index(b"\n") + 1] = ord("!")
    (tmp_path / "passages.jsonl").write_bytes(content)
    shelf = PassageFile(tmp_path)
    assert shelf[0] == ANIMALS[0]
    with pytest.raises(Conflict, match=r"passages\.jsonl:2 is not a passage"):
        shelf[1]
