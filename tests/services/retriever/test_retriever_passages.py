import pytest
from hashing_embedder import passage

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage
from services.retriever.corpora.passages import checksum, distinct, indexed_text, line_of


def test_title_and_text_are_indexed() -> None:
    assert indexed_text(passage("Cat", "Purrs.", " Sleeps.")) == "Cat. Purrs. Sleeps."
    assert indexed_text(Passage(id="1", title="", sentences=["Purrs."])) == "Purrs."


def test_equal_passages_are_kept_once_in_order() -> None:
    cat, dog = passage("Cat", "Purrs."), passage("Dog", "Barks.")
    assert distinct([dog, cat, dog]) == [dog, cat]


def test_one_id_for_two_passages_is_refused_with_the_row() -> None:
    with pytest.raises(InvalidInput, match=r"passages\.1: id 'Cat' stands already for another passage"):
        distinct([passage("Cat", "Purrs."), passage("Cat", "Barks.")])


def test_an_empty_passage_is_refused_with_the_row() -> None:
    with pytest.raises(InvalidInput, match=r"passages\.1 \(id 'x'\): title and sentences are empty"):
        distinct([passage("Cat", "Purrs."), Passage(id="x", title=" ", sentences=["\n"])])


def test_the_checksum_depends_on_content_and_order() -> None:
    cat, dog = passage("Cat", "Purrs."), passage("Dog", "Barks.")
    assert len({checksum(passages) for passages in ([cat, dog], [dog, cat], [cat], [cat, dog])}) == 3


def test_a_passage_is_one_line_whatever_it_holds() -> None:
    line = line_of(passage("Lines", "a\nb\r\nc\u2028d\u0085e\x0cf"))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
