"""Both pages of a question that needs two: the best passages tell where to look for the other.

Chosen on 877 HotpotQA train questions over 10,108 pages (all in docs/retriever.md). Of the bridge questions 73 % have both pages
among the first ten of one hop, 93 % with the second hop. It follows names that a first-hop passage mentions and that are titles, and
searches for that passage's title with the words of the question that the passage lacks. Searching for the title with the whole
question, or for the passage's sentence nearest to it, found fewer pages than one hop did.
"""

from services.retriever.embedding.embedder import Embedder, embed_queries
from services.retriever.searching.mentions import mentions
from services.retriever.searching.search_index import SearchIndex
from services.retriever.shapes import Ranking
from services.retriever.words.bm25s_index import words_of

_MENTIONED = (2.0, 5)
"""(weight, constant) by which a mentioned page counts: weight / (constant + rank of the passage + rank among what it mentions)."""

_SEARCHED = (0.25, 10)
_DEPTH = 20  # pages of each second-hop query


def multihop(index: SearchIndex, question: str, k: int, embedder: Embedder, beam: int) -> tuple[Ranking, list[str]]:
    """(at least min(k, count) positions, best first; the second hop's queries). With a `beam` of 0 there is no second hop."""
    ranking = index.hybrid([question], embed_queries(embedder, [question]), k)[0]
    scores, queries = dict(ranking), []
    wanted = words_of([question])[0]
    for rank, (source, _) in enumerate(ranking[:beam], 1):
        passage = index.passages[source]
        linked = [position for position in mentions(passage.text, index.passages.named) if position != source]
        _add(scores, index.words.rank(question, linked), rank, _MENTIONED)
        queries.append(_query(passage.title, passage.text, wanted))
        found = index.words.search(queries[-1:], _DEPTH)[0]
        _add(scores, [hit for hit in found if hit[0] != source and hit[1] > 0], rank, _SEARCHED)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0])), queries


def _query(title: str, text: str, wanted: list[str]) -> str:
    """The title with the words of the question that the passage does not hold."""
    held = set(words_of([f"{title} {text}"])[0])
    return " ".join([title, *(word for word in wanted if word not in held)])


def _add(scores: dict[int, float], found: Ranking, rank: int, weighed: tuple[float, int]) -> None:
    weight, constant = weighed
    for place, (position, _) in enumerate(found, 1):
        scores[position] = scores.get(position, 0.0) + weight / (constant + rank + place)
