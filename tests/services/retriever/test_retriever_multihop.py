from pathlib import Path

import pytest
from hashing_embedder import HashingEmbedder, passage

from askback.contracts.errors import InvalidInput
from askback.contracts.retriever import IndexRequest, MultihopRequest, SearchRequest
from services.retriever.library import Library
from services.retriever.searching.mentions import mentions
from services.retriever.storage.store import IndexStore

FILM = passage("Night Train (1959 film)", "Night Train is a film that Jerzy Kawalerowicz directed.")
DIRECTOR = passage("Jerzy Kawalerowicz", "He was born in Gwozdziec.")
OTHERS = [passage(f"Film {row}", f"Film {row} is a film, born of the idea of a director of films number {row}.") for row in range(30)]
QUESTION = "Where was the director of the film Night Train born?"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    shelf = Library(IndexStore(tmp_path), HashingEmbedder())
    shelf.put(IndexRequest(name="default", passages=[*OTHERS, FILM, DIRECTOR]))
    return shelf


def titles(library: Library, **told: object) -> list[str]:
    answer = library.multihop(MultihopRequest.model_validate({"question": QUESTION, "k": 3} | told))
    return [hit.passage.title for hit in answer.hits]


def test_the_second_hop_finds_the_page_that_the_first_one_names(library: Library) -> None:
    assert {FILM.title, DIRECTOR.title} <= set(titles(library))
    assert DIRECTOR.title not in titles(library, hops=1)


def test_one_hop_is_the_hybrid_search(library: Library) -> None:
    hits = library.search(SearchRequest(query=QUESTION, k=3)).hits[0]
    answer = library.multihop(MultihopRequest(question=QUESTION, k=3, hops=1))
    assert (answer.hits, answer.queries) == (hits, [])


def test_the_second_hops_queries_are_told(library: Library) -> None:
    answer = library.multihop(MultihopRequest(question=QUESTION, beam=2))
    assert len(answer.queries) == 2
    assert f"{FILM.title} director born" in answer.queries
    assert len(answer.hits) == 10


def test_an_empty_question_is_refused(library: Library) -> None:
    with pytest.raises(InvalidInput, match="question is empty"):
        library.multihop(MultihopRequest(question=" \n"))


PAGES = {"jerzy kawalerowicz": [1], "jerzy": [2], "kawalerowicz": [3], "the": [4], "1959": [5], "1959 film": [6], "film": [7], "d o a": [8]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It was Jerzy Kawalerowicz, Jerzy to friends.", [1, 2]),
        ("The film of 1959", []),
        ("A 1959 film", [6]),
        ("D.O.A. and Kawalerowicz's Film", [8, 3, 7]),
        ("", []),
    ],
)
def test_names_are_the_longest_titles_that_begin_with_a_capital(text: str, found: list[int]) -> None:
    assert mentions(text, lambda name: PAGES.get(name.lower(), [])) == found
