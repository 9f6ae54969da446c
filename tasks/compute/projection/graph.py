"""Exact nearest neighbours: blocked float32 products, a heap a row, then float64 distances."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

_BLOCK_BYTES = 1 << 26  # 64 MiB of products at once
_SPARE = 8
"""Candidates beside the wanted ones: what float32 puts in the wrong order is put right among
them."""


class Neighbours(NamedTuple):
    """The nearest other points of every point, nearest first, by Euclidean distance."""

    places: Int32[np.ndarray, "points k"]
    distances: Float32[np.ndarray, "points k"]


def nearest_neighbours(points: Float32[np.ndarray, "points dim"], k: int) -> Neighbours:
    """Return the `k` nearest other points of every point, or as many as there are.

    Of equally far ones the lower number comes first. A duplicate is a neighbour at distance 0.
    """
    from tasks.compute.projection.kernels import nearest_candidates, sort_exactly

    count = len(points)
    kept = max(0, min(k, count - 1))
    places = np.empty((count, kept), np.int32)
    distances = np.empty((count, kept), np.float32)
    if kept == 0:
        return Neighbours(places, distances)
    centred = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
    norms = np.einsum("ij,ij->i", centred, centred)
    candidates = min(kept + _SPARE, count - 1)
    step = max(1, _BLOCK_BYTES // (4 * count))
    for first in range(0, count, step):
        span = slice(first, min(first + step, count))
        found = np.zeros((span.stop - first, candidates), np.int32)
        nearest_candidates(centred[span] @ centred.T, norms, first, found)
        sort_exactly(points[span], points, found, places[span], distances[span])
    return Neighbours(places, distances)
