"""Vectors in Qdrant, for corpora that outgrow one machine: sharded and replicated there. The only file that imports `qdrant_client`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from askback.contracts.errors import Conflict, NotFound, UpstreamRejected, UpstreamUnavailable
from services.retriever.shapes import Ranking, Vectors
from services.retriever.vectors.facts import QdrantFacts
from services.retriever.vectors.qdrant_settings import QdrantSettings
from services.retriever.vectors.shards import Shards

_BATCH = 1000
_OVERSAMPLED = 2.0
_INDEXED_FROM = 20_000  # Qdrant's own default, kilobytes of a segment


def connect(settings: QdrantSettings) -> Any:
    """A client; nothing is asked of the server yet."""
    if "://" in settings.url:
        key = settings.key.get_secret_value() if settings.key else None
        return QdrantClient(url=settings.url, api_key=key, timeout=settings.timeout_s, check_compatibility=False)
    return QdrantClient(settings.url) if settings.url == ":memory:" else QdrantClient(path=settings.url)


def upload(shards: Sequence[Path], client: Any, settings: QdrantSettings, progress: Callable[[str, int, int], None]) -> QdrantFacts:
    """Bring the vectors of `shards` to a collection of their own, whose name ends in their fingerprint; a killed upload goes on where it was.

    Raises UpstreamUnavailable and UpstreamRejected for what the server does, InvalidInput for files that are no vectors.
    """
    rows = Shards(shards)
    name = f"{settings.collection}-{rows.fingerprint()[:12]}"
    with _asking(settings, name):
        if not client.collection_exists(name):
            _create(client, name, rows.dimension, settings)
        start = client.count(name, exact=True).count // _BATCH * _BATCH
        for low, block in rows.blocks(_BATCH, start):
            # waited for, so that the count tells how far an upload came
            client.upsert(name, models.Batch(ids=list(range(low, low + len(block))), vectors=block.tolist()), wait=True)
            progress("vectors", low + len(block), rows.count)
        client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=_INDEXED_FROM))
    return QdrantFacts(collection=name, count=rows.count, dimension=rows.dimension)


class QdrantIndex:
    """A collection of unit vectors whose ids are their positions. Callable from several threads."""

    def __init__(self, client: Any, settings: QdrantSettings, facts: QdrantFacts) -> None:
        self._client = client
        self._settings = settings
        self._facts = facts
        quantised = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLED)
        self._params = models.SearchParams(hnsw_ef=settings.ef, quantization=None if settings.quantisation == "none" else quantised)

    @classmethod
    def read(cls, client: Any, settings: QdrantSettings, facts: QdrantFacts) -> "QdrantIndex":
        """Raises NotFound without the collection, Conflict when it does not hold what `facts` say."""
        with _asking(settings, facts.collection):
            if not client.collection_exists(facts.collection):
                raise NotFound(f"{settings.url} has no collection {facts.collection}; index the passages again")
            found, width = client.count(facts.collection, exact=True).count, client.get_collection(facts.collection).config.params.vectors.size
        if (found, width) != (facts.count, facts.dimension):
            said = f"{facts.count} of {facts.dimension}"
            raise Conflict(f"{facts.collection} holds {found} vectors of {width} dimensions, the manifest says {said}; index the passages again")
        return cls(client, settings, facts)

    @property
    def count(self) -> int:
        return self._facts.count

    @property
    def dimension(self) -> int:
        return self._facts.dimension

    def search(self, vectors: Vectors, k: int) -> list[Ranking]:
        """For each row of `vectors` the min(k, count) nearest that the server's graph finds, with their cosines; one request for all."""
        asked = [models.QueryRequest(query=row, limit=min(k, self.count), params=self._params) for row in vectors.tolist()]
        with _asking(self._settings, self._facts.collection):
            answers = self._client.query_batch_points(self._facts.collection, requests=asked)
        return [[(int(point.id), float(point.score)) for point in answer.points] for answer in answers]


def _create(client: Any, name: str, dimension: int, settings: QdrantSettings) -> None:
    forms = {
        "none": None,
        "int8": models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)),
        "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
    }
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=dimension, distance=models.Distance.DOT, on_disk=settings.quantisation != "none"),
        shard_number=settings.shards,
        replication_factor=settings.replicas,
        quantization_config=forms[settings.quantisation],
        # the graph is built once, when all vectors are there
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
    )


@contextmanager
def _asking(settings: QdrantSettings, collection: str) -> Iterator[None]:
    try:
        yield
    except UnexpectedResponse as error:
        wrong = "check QDRANT_KEY" if error.status_code in (401, 403) else "see its log"
        raise UpstreamRejected(f"Qdrant at {settings.url} answered {error.status_code} for {collection}; {wrong}") from error
    except (ResponseHandlingException, OSError) as error:
        raise UpstreamUnavailable(f"Qdrant at {settings.url} cannot be reached ({error}); check QDRANT_URL") from error
