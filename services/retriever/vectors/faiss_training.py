"""What FAISS learns from a sample before any vector is added: the centroids of the lists, and the codes within them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from services.retriever.shapes import Vectors

ITERATIONS = 10
_CODES_LEARNT_FROM = 16_384


def learn_centroids(sample: Vectors, lists: int, folder: Path, seed: int, threads: int, progress: Callable[[int, int], None]) -> Vectors:
    """Unit centroids, float32 of shape (lists, dimension), by spherical k-means.

    Every iteration is kept in `folder`, and a killed run goes on after it.
    """
    faiss.omp_set_num_threads(threads)
    done = sorted(folder.glob("centroids.*.npy"))
    centroids = np.load(done[-1], allow_pickle=False) if done else None
    for iteration in range(len(done), ITERATIONS):
        means = faiss.Kmeans(
            sample.shape[1], lists, niter=1, spherical=True, seed=seed, max_points_per_centroid=len(sample), min_points_per_centroid=1, verbose=False
        )
        means.train(sample, init_centroids=centroids)
        centroids = np.asarray(means.centroids, dtype=np.float32)
        part = folder / "centroids.part"
        with part.open("wb") as file:
            np.save(file, centroids)
        part.replace(folder / f"centroids.{iteration:02}.npy")
        progress(iteration + 1, ITERATIONS)
    return np.asarray(centroids, dtype=np.float32)


def learn_codes(centroids: Vectors, subquantisers: int, sample: Vectors, seed: int) -> Any:
    """A trained FAISS index of empty lists around `centroids`, for codes of four bits a subquantiser."""
    faiss.omp_set_num_threads(1)  # thousands of small clusterings, which threads would spend waiting for each other
    width = centroids.shape[1]
    flat = faiss.IndexFlatIP(width)
    flat.add(centroids)
    index = faiss.IndexIVFPQ(flat, width, len(centroids), subquantisers, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = False  # codes of whole vectors: they found as much as those of residuals
    index.pq.cp.max_points_per_centroid = _CODES_LEARNT_FROM // index.pq.ksub
    index.pq.cp.seed = seed
    index.train(sample)
    return index
