"""The indexes that one service serves: built on demand, read from disk at their first search."""

from pathlib import Path
from threading import Lock

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.records import Record
from askback.contracts.retriever import IndexRequest, IndexResponse, SearchRequest, SearchResponse
from services.retriever.embedder import Embedder
from services.retriever.passages import checksum, distinct, to_jsonl
from services.retriever.search_index import SearchIndex, write_index
from services.retriever.store import IndexStore, Manifest


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

    def __init__(self, store: IndexStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._loaded: dict[str, tuple[Path, SearchIndex]] = {}
        self._loading = Lock()

    def put(self, request: IndexRequest) -> IndexResponse:
        """Index the passages under the name; an index of equal passages and embedder is left as it is."""
        passages = distinct(request.passages)
        with self._store.writing(request.name):
            manifest = self._standing(request.name, checksum(to_jsonl(passages)))
            if manifest is None:
                manifest = self._store.publish(request.name, lambda folder: write_index(folder, passages, self._embedder))
        return IndexResponse(name=request.name, count=manifest.count, checksum=manifest.checksum)

    def entries(self) -> IndexesResponse:
        """All indexes; one that cannot be searched is listed with the reason."""
        return IndexesResponse(indexes=[self._entry(name) for name in self._store.names()])

    def search(self, request: SearchRequest) -> SearchResponse:
        """Raises NotFound for an unknown index, Conflict for one that is incomplete or of another embedder."""
        for row, query in enumerate(request.queries):
            if not query.strip():
                raise InvalidInput(f"queries.{row} is empty; give the words or the question to search for")
        index = self._index(request.index)
        return SearchResponse(hits=index.search(request.queries, request.k, request.method, self._embedder))

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

    def _entry(self, name: str) -> IndexEntry:
        try:
            manifest = self._manifest(self._store.folder(name))
        except Conflict as error:
            return IndexEntry(name=name, error=str(error))
        return IndexEntry(name=name, count=manifest.count, checksum=manifest.checksum)

    def _index(self, name: str) -> SearchIndex:
        """The index that `name` stands for now, read from disk when that build is not in memory."""
        folder = self._store.folder(name)
        known = self._loaded.get(name)
        if known and known[0] == folder:
            return known[1]
        with self._loading:
            while True:
                folder = self._store.folder(name)
                known = self._loaded.get(name)
                if known and known[0] == folder:
                    return known[1]
                try:
                    index = SearchIndex.read(folder, self._manifest(folder))
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
