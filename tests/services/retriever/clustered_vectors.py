"""Unit vectors in clusters, as texts of topics are; and shards of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def clustered(count: int, dimension: int = 32, seed: int = 0) -> Vectors:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((100, dimension))
    vectors = centres[generator.integers(0, 100, count)] + 0.8 * generator.standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write_shards(folder: Path, vectors: Vectors, parts: int = 3) -> list[Path]:
    """Shards of unequal length, every second one in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = np.linspace(0, len(vectors), parts + 1).astype(int) + np.array([0, *range(1, parts), 0])
    paths = []
    for number in range(parts):
        paths.append(folder / f"{number}.npy")
        np.save(paths[-1], vectors[cuts[number] : cuts[number + 1]].astype(np.float16 if number % 2 else np.float32))
    return paths
