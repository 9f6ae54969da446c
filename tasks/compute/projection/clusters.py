"""Groups of like vectors, to colour a map by: k-means, the same for the same vectors."""

import warnings

import numpy as np
from jaxtyping import Float32, Int32

_MOST_ROWS = 20_000
"""Centres are found on a sample of at most so many rows."""


def clusters(
    points: Float32[np.ndarray, "points dim"], wanted: int, *, seed: int = 0
) -> Int32[np.ndarray, " points"]:
    """Return the group of each point, from 0 on, the largest group first; `wanted` at most."""
    from scipy.cluster.vq import kmeans2, vq

    count = len(points)
    drawn = np.random.default_rng(seed).permutation(count)[:_MOST_ROWS]
    sample = points[np.sort(drawn)].astype(np.float64)
    most = max(1, min(wanted, len(np.unique(sample, axis=0))))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        centres, _ = kmeans2(sample, most, minit="++", seed=seed, iter=25)
    found, _ = vq(points.astype(np.float64), centres)
    sizes = np.bincount(found, minlength=len(centres))
    rank = np.empty(len(centres), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(centres))
    groups: Int32[np.ndarray, " points"] = rank[found]
    return groups
