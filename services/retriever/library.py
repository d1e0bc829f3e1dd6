"""The indexes that one service serves: built on demand, read from disk at their first search."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from askback.contracts.errors import Conflict, InvalidInput, NotFound
from askback.contracts.records import Record
from askback.contracts.retriever import Hit, IndexRequest, IndexResponse, MultihopRequest, MultihopResponse, SearchRequest, SearchResponse
from services.retriever.building.stages import index_passages
from services.retriever.corpora.passages import checksum, distinct
from services.retriever.embedding.embedder import Embedder
from services.retriever.searching.multihop import multihop
from services.retriever.searching.reranking import DEPTH, Reranker, reranked
from services.retriever.searching.search_index import SearchIndex
from services.retriever.storage.store import IndexStore, Manifest
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.settings import VectorSettings


class IndexEntry(Record):
    """An index in the listing. `error` says why it cannot be searched."""

    name: str
    count: int = 0
    checksum: str = ""
    error: str | None = None


class IndexesResponse(Record):
    indexes: list[IndexEntry]


class Library:
    """Indexes of one store under one embedder. Its methods block, and may be called from several threads."""

    def __init__(self, store: IndexStore, embedder: Embedder, engine: VectorEngine | None = None, reranker: Reranker | None = None) -> None:
        self._store = store
        self._embedder = embedder
        self._engine = engine or VectorEngine(VectorSettings())
        self._reranker = reranker
        self._loaded: dict[str, tuple[Path, SearchIndex]] = {}
        self._loading = Lock()

    def put(self, request: IndexRequest) -> IndexResponse:
        """Index the passages under the name; an index of equal passages and embedder is left as it is."""
        passages = distinct(request.passages)
        with self._store.writing(request.name):
            manifest = self._standing(request.name, checksum(passages))
            if manifest is None:
                self._may_replace(request.name)
                here = VectorEngine(self._engine.settings)  # what fits into a request fits into files
                manifest = self._store.publish(request.name, lambda folder: index_passages(passages, self._embedder, here, folder))
        return IndexResponse(name=request.name, count=manifest.count, checksum=manifest.checksum)

    def entries(self) -> IndexesResponse:
        """All indexes; one that cannot be searched is listed with the reason."""
        return IndexesResponse(indexes=[self._entry(name) for name in self._store.names()])

    def sizes(self) -> dict[str, int]:
        """Passages by index, of those whose build ended. Unlike `entries` it does not ask for the embedder, which may be loaded late."""
        counts = {}
        for name in self._store.names():
            with suppress(Conflict, NotFound):  # it may also be swapped at this moment
                counts[name] = self._store.manifest(self._store.folder(name)).count
        return counts

    def search(self, request: SearchRequest) -> SearchResponse:
        """Raises NotFound for an unknown index or titles that no passage bears, Conflict for an index that is incomplete or of another embedder."""
        if (request.query is None) == (request.queries is None):
            raise InvalidInput("queries: give query, or queries, and not both")
        queries = [request.query] if request.query is not None else request.queries or []
        for row, query in enumerate(queries):
            _not_empty("query" if request.query is not None else f"queries.{row}", query)
        index = self._index(request.index)
        k = max(request.k, DEPTH) if request.rerank else request.k
        found = index.search(queries, k, request.method, self._embedder, request.titles)
        return SearchResponse(hits=self._reranked(queries, found, request.k) if request.rerank else found)

    def multihop(self, request: MultihopRequest) -> MultihopResponse:
        """Raises what `search` raises."""
        _not_empty("question", request.question)
        index = self._index(request.index)
        k = max(request.k, DEPTH) if request.rerank else request.k
        ranking, queries = multihop(index, request.question, k, self._embedder, beam=request.beam if request.hops > 1 else 0)
        hits = index.hits(ranking[:k])
        if request.rerank:
            hits = self._reranked([request.question], [hits], request.k)[0]
        return MultihopResponse(hits=hits, queries=queries)

    def _reranked(self, queries: Sequence[str], found: Sequence[list[Hit]], k: int) -> list[list[Hit]]:
        if self._reranker is None:
            raise InvalidInput("rerank: this service has no cross-encoder; start it with RERANKER, or leave rerank out")
        return [reranked(self._reranker, query, hits)[:k] for query, hits in zip(queries, found, strict=True)]

    def _standing(self, name: str, passages: str) -> Manifest | None:
        """Manifest of the index under `name` if it holds the passages of that checksum and can be searched."""
        if name not in self._store.names():
            return None
        try:
            manifest = self._manifest(self._store.folder(name))
            if manifest.checksum != passages:
                return None
            self._index(name)
        except Conflict:  # what a search refuses, a new build replaces
            return None
        return manifest

    def _may_replace(self, name: str) -> None:
        """Raises Conflict for an index that was built from a corpus file, which may have taken a day."""
        if name not in self._store.names():
            return
        try:
            source = self._store.manifest(self._store.folder(name)).source
        except Conflict:  # it ended in the middle, so nothing is lost
            return
        if source:
            raise Conflict(f"index {name!r} was built from a corpus file; index these passages under another name, or remove it")

    def _entry(self, name: str) -> IndexEntry:
        try:
            manifest = self._manifest(self._store.folder(name))
        except Conflict as error:
            return IndexEntry(name=name, error=str(error))
        return IndexEntry(name=name, count=manifest.count, checksum=manifest.checksum)

    def _index(self, name: str) -> SearchIndex:
        """The index that `name` stands for now. While one caller reads a new build from disk, the others go on with the old one."""
        folder = self._store.folder(name)
        known = self._loaded.get(name)
        if known and known[0] == folder:
            return known[1]
        if not self._loading.acquire(blocking=known is None):
            assert known  # only who has one does not wait
            return known[1]
        try:
            return self._read(name)
        finally:
            self._loading.release()

    def _read(self, name: str) -> SearchIndex:
        while True:
            folder = self._store.folder(name)
            known = self._loaded.get(name)
            if known and known[0] == folder:
                return known[1]
            try:
                index = SearchIndex.read(folder, self._manifest(folder), self._engine)
            except Conflict as error:
                if self._store.folder(name) != folder:  # swapped while it was read
                    continue
                raise Conflict(f"index {name!r}: {error}") from error
            self._loaded[name] = (folder, index)
            return index

    def _manifest(self, folder: Path) -> Manifest:
        """The manifest in `folder`; raises Conflict when the index was built with another embedder."""
        manifest = self._store.manifest(folder)
        built, now = (manifest.embedder, manifest.passage_prefix), (self._embedder.identity, self._embedder.passage_prefix)
        if built != now:
            raise Conflict(
                f"it was built with embedder {built[0]} and passage prefix {built[1]!r}, this service runs {now[0]} and {now[1]!r};"
                " index the passages again or start the service with that EMBEDDER"
            )
        return manifest


def _not_empty(field: str, query: str) -> None:
    if not query.strip():
        raise InvalidInput(f"{field} is empty; give the words or the question to search for")
