"""Where vectors go and come from: files beside the passages, or a Qdrant."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from askback.contracts.errors import Conflict
from services.retriever.vectors import building, reading
from services.retriever.vectors.facts import QdrantFacts, VectorFacts
from services.retriever.vectors.protocol import VectorIndex
from services.retriever.vectors.qdrant_settings import QdrantSettings
from services.retriever.vectors.settings import VectorSettings


class VectorEngine:
    """Builds into files, or into `qdrant` where one is given; reads either."""

    def __init__(self, settings: VectorSettings, qdrant: QdrantSettings | None = None) -> None:
        self.settings = settings
        self._qdrant = qdrant

    @property
    def told(self) -> str:
        """What decides about the outcome of a build: who works on it does not."""
        if self._qdrant:
            return f"qdrant {self._qdrant.url} {self._qdrant.collection}"
        return self.settings.model_dump_json(exclude={"threads", "build_threads"})

    def build(self, shards: Sequence[Path], out: Path, progress: Callable[[str, int, int], None]) -> VectorFacts | QdrantFacts:
        """Index the unit vectors of `shards`; files go to `out`. Called again after a kill, it goes on."""
        if not self._qdrant:
            return building.build(shards, out, self.settings, progress)
        from services.retriever.vectors import qdrant_index

        out.mkdir(exist_ok=True)
        return qdrant_index.upload(shards, self._client, self._qdrant, progress)

    def read(self, folder: Path, facts: VectorFacts | QdrantFacts) -> VectorIndex:
        """The vectors that `facts` tell of; raises Conflict when they are not what the facts say, or when no Qdrant is named."""
        if isinstance(facts, VectorFacts):
            return reading.read(folder, facts, self.settings.threads)
        if not self._qdrant:
            raise Conflict(f"its vectors lie in Qdrant's collection {facts.collection}; set QDRANT_URL")
        from services.retriever.vectors import qdrant_index

        return qdrant_index.QdrantIndex.read(self._client, self._qdrant, facts)

    @cached_property
    def _client(self) -> Any:
        from services.retriever.vectors import qdrant_index

        assert self._qdrant
        return qdrant_index.connect(self._qdrant)
