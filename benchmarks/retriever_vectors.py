"""Vectors like those of an embedder over an encyclopedia, as many as wanted: a model of real embeddings, checked against them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
_COMPONENTS = 64
_PER_TOPIC = 3
_LOOSENESS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_BLOCK = 65_536
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Likeness:
    """What the model is fitted to and checked by: medians over the vectors of a corpus."""

    nearest: float
    """Cosine to the nearest other vector."""
    tenth: float
    """Cosine to the tenth nearest."""
    intrinsic_dimension: float
    """Levina and Bickel's estimate from the distances to the ten nearest."""


@dataclass(frozen=True)
class Model:
    """A vector is the mean of its component, plus what its topic shares, plus what is its own, at length one.

    `spread`, of shape (d, d), turns white noise into the noise within components. The share of it that a topic's vectors
    have in common differs by topic: a uniform number to the power of `looseness`.
    `asked` is the cosine of a question with the passage nearest to it.
    """

    means: Vectors
    weights: npt.NDArray[np.float64]
    spread: Vectors
    looseness: float
    asked: float

    def blocks(self, count: int, seed: int) -> Iterator[Vectors]:
        """`count` unit vectors in blocks, those of a topic within one block."""
        for start in range(0, count, _BLOCK):
            yield self._block(min(_BLOCK, count - start), np.random.default_rng((seed, start)))

    def questions(self, passages: Vectors, seed: int) -> Vectors:
        """Unit vectors that lie to `passages` as a question lies to its passage."""
        noise = self._noise(len(passages), np.random.default_rng((seed, 1, 1)))
        noise -= np.vecdot(noise, passages)[:, None] * passages
        return unit(self.asked * passages + (1 - self.asked**2) ** 0.5 * unit(noise))

    def _block(self, count: int, generator: np.random.Generator) -> Vectors:
        topics = max(count // _PER_TOPIC, 1)
        centres = self.means[generator.choice(len(self.means), topics, p=self.weights)]
        shares = generator.random((topics, 1), dtype=np.float32) ** np.float32(self.looseness)
        centres = centres + shares**0.5 * self._noise(topics, generator)
        popularity = generator.exponential(size=topics)
        topic = generator.choice(topics, count, p=popularity / popularity.sum())
        return unit(centres[topic] + (1 - shares[topic]) ** 0.5 * self._noise(count, generator))

    def _noise(self, count: int, generator: np.random.Generator) -> Vectors:
        noise: Vectors = generator.standard_normal((count, len(self.spread)), dtype=np.float32) @ self.spread
        return noise


def fit(passages: Vectors, questions: Vectors, seed: int) -> tuple[Model, Likeness, Likeness]:
    """The model, and how real and drawn vectors compare at the same count."""
    components = max(min(_COMPONENTS, len(passages) // 20), 1)
    means = faiss.Kmeans(passages.shape[1], components, niter=20, seed=seed)
    means.train(passages)
    component = means.assign(passages)[1]
    centres = np.asarray(means.centroids, dtype=np.float32)
    within = passages - centres[component]
    values, directions = np.linalg.eigh(np.cov(within, rowvar=False))
    spread = (np.sqrt(np.maximum(values, 0))[:, None] * directions.T).astype(np.float32)
    weights = np.bincount(component, minlength=components) / len(passages)
    asked = float(np.median((questions @ passages.T).max(axis=1)))
    real = likeness(passages)
    models = [Model(centres, weights, spread, looseness, asked) for looseness in _LOOSENESS]
    drawn = [(model, likeness(np.concatenate(list(model.blocks(len(passages), seed))))) for model in models]
    model, alike = min(drawn, key=lambda pair: abs(pair[1].nearest - real.nearest) + abs(pair[1].tenth - real.tenth))
    return model, real, alike


def likeness(vectors: Vectors) -> Likeness:
    cosines = -np.sort(-faiss.knn(vectors, vectors, _NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT)[0])[:, 1:]
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 1e-6))
    dimension = 1 / np.mean(np.log(distances[:, -1:] / distances[:, :-1]), axis=1).clip(1e-6)
    return Likeness(float(np.median(cosines[:, 0])), float(np.median(cosines[:, -1])), float(np.median(dimension)))


def write(model: Model, count: int, folder: Path, seed: int) -> list[Path]:
    """Half-precision shards of a million vectors; those that are there already are left."""
    paths = []
    for number, start in enumerate(range(0, count, 16 * _BLOCK)):
        size = min(16 * _BLOCK, count - start)
        path = folder / f"vectors.{number:03}.{size}.npy"
        if not path.exists():
            part = folder / "part.npy"
            np.save(part, np.concatenate([block.astype(np.float16) for block in model.blocks(size, seed + number)]))
            part.replace(path)
        paths.append(path)
    return paths


def unit(vectors: Vectors) -> Vectors:
    rows: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows
