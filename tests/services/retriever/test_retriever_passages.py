import pytest
from hashing_embedder import passage

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.records import Passage
from services.retriever.passages import checksum, distinct, from_jsonl, indexed_text, to_jsonl


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


def test_every_line_end_inside_a_passage_survives_the_file() -> None:
    odd = [passage("Lines", "a\nb\r\nc\u2028d\u0085e\x0cf"), passage("Größe", "\U0001f40b")]
    assert from_jsonl(to_jsonl(odd)) == odd
    assert len(to_jsonl(odd).splitlines()) == 2


def test_a_line_that_is_no_passage_is_named() -> None:
    with pytest.raises(Conflict, match=r"passages\.jsonl:2 is not a passage"):
        from_jsonl(to_jsonl([passage("Cat", "Purrs.")]) + b'{"id": 1}\n')


def test_the_checksum_depends_on_content_and_order() -> None:
    cat, dog = passage("Cat", "Purrs."), passage("Dog", "Barks.")
    sums = {checksum(to_jsonl(passages)) for passages in ([cat, dog], [dog, cat], [cat], [cat, dog])}
    assert len(sums) == 3
