"""How far to believe a map: trustworthiness, continuity, recall and stability, point by point.

Trustworthiness and continuity: Venna & Kaski, "Neighborhood preservation in nonlinear projection
methods" (2001). Every figure is taken of sampled anchors against all points, so that memory does
not grow with the square of the points, and comes with its standard error.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

_BLOCK_BYTES = 1 << 26  # 64 MiB of products at once


@dataclass(frozen=True)
class Estimate:
    """The mean over sampled points, in [0, 1], and how far chance may have moved it."""

    value: float
    standard_error: float
    """0 when every point is an anchor."""
    anchors: int

    def __str__(self) -> str:
        error = f"± {self.standard_error:.4f}" if self.standard_error else "exact"
        return f"{self.value:.4f} {error}"


@dataclass(frozen=True)
class Stability:
    """How alike the maps of several seeds are, after turning and scaling one onto the other."""

    seeds: int
    disparity: float
    """The mean over pairs of seeds of what Procrustes leaves unexplained: 0 alike, 1 unrelated."""
    median_shift: float
    """How far the median point stands from its mean place over the seeds, by the map's radius."""
    recall: float
    """The share, in [0, 1], of a point's nearest points on one map that are so on another, too."""


@dataclass(frozen=True)
class TrustSummary:
    """What a map's figures say, of all points."""

    points: int
    neighbours: int
    """k: how many nearest points count as a neighbourhood."""
    trustworthiness: Estimate
    """Low: points that are near on the map are far apart in truth."""
    continuity: Estimate
    """Low: points that are near in truth are torn apart on the map."""
    recall: Estimate
    """The share of the k nearest in truth that are among the k nearest on the map."""
    stability: Stability | None = None
    notes: tuple[str, ...] = ()

    def shown(self) -> dict[str, str]:
        """Return what a page shows: a name and a text each."""
        anchors = self.trustworthiness.anchors
        told = {
            f"trustworthiness (k = {self.neighbours})": str(self.trustworthiness),
            f"continuity (k = {self.neighbours})": str(self.continuity),
            f"neighbourhood recall (k = {self.neighbours})": str(self.recall),
            "anchors": f"{anchors:,} of {self.points:,} points",
        }
        if self.stability:
            told["seed stability"] = (
                f"{self.stability.seeds} seeds: disparity {self.stability.disparity:.3f}, "
                f"median shift {self.stability.median_shift:.3f} of the map's radius, "
                f"neighbourhood recall {self.stability.recall:.3f}"
            )
        return told

    def as_json(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TrustSummary":
        """Return the summary that `as_json` gave."""
        estimates = {
            name: Estimate(**content[name]) for name in ("trustworthiness", "continuity", "recall")
        }
        stability = Stability(**content["stability"]) if content["stability"] else None
        return cls(
            content["points"],
            content["neighbours"],
            **estimates,
            stability=stability,
            notes=tuple(content["notes"]),
        )


@dataclass(frozen=True, eq=False)
class Trust:
    """The figures of the sampled points."""

    neighbours: int
    anchors: Int64[np.ndarray, " anchors"]
    """The sampled points, ascending."""
    trustworthiness: Float32[np.ndarray, " anchors"]
    """In [0, 1], as the two below."""
    continuity: Float32[np.ndarray, " anchors"]
    recall: Float32[np.ndarray, " anchors"]
    points: int = 0
    notes: tuple[str, ...] = field(default=())

    def summary(self, stability: Stability | None = None) -> TrustSummary:
        """Return the means over the anchors, with their standard errors."""
        return TrustSummary(
            self.points,
            self.neighbours,
            estimate(self.trustworthiness, self.points),
            estimate(self.continuity, self.points),
            estimate(self.recall, self.points),
            stability,
            self.notes,
        )


def estimate(values: Float32[np.ndarray, " anchors"], points: int) -> Estimate:
    """Return the mean of `values`, sampled without replacement of `points`, and its standard error
    with the correction for a finite population (Cochran, Sampling Techniques, 2.6)."""
    count = len(values)
    exact = values.astype(np.float64)
    unseen = max(0.0, 1 - count / points)
    error = float(exact.std(ddof=1) * np.sqrt(unseen / count)) if count > 1 else 0.0
    return Estimate(float(exact.mean()), error, count)


def largest_neighbourhood(points: int) -> int:
    """Return the largest k for which trustworthiness is in [0, 1]: less than half of the points."""
    return max(0, (points - 1) // 2)


def too_few(points: int) -> str:
    """Return why so few points have no figures."""
    return f"too few points to compare neighbourhoods: {points}; 3 is the least"


def trust(
    vectors: Float32[np.ndarray, "points dim"],
    coords: Float32[np.ndarray, "points 2"],
    *,
    neighbours: int = 10,
    anchors: int = 2000,
    seed: int = 0,
) -> Trust:
    """Return the figures of `anchors` points sampled by `seed`, or of all where there are fewer.

    A neighbourhood larger than the points allow is made as small as they need. Raises ValueError
    for fewer than 3 points, of which no neighbourhood is smaller than half.
    """
    points = len(vectors)
    k = min(neighbours, largest_neighbourhood(points))
    if k < 1:
        raise ValueError(too_few(points))
    drawn = np.random.default_rng(seed).permutation(points)[: min(anchors, points)]
    chosen = np.sort(drawn).astype(np.int64)
    there, back = _ranks_of(vectors, coords, chosen, k)
    worst = 2.0 / (k * (2 * points - 3 * k - 1))
    return Trust(
        k,
        chosen,
        (1 - worst * np.clip(there - k, 0, None).sum(1)).astype(np.float32),
        (1 - worst * np.clip(back - k, 0, None).sum(1)).astype(np.float32),
        (there <= k).mean(1).astype(np.float32),
        points,
        (f"k = {k}: {points} points have no larger neighbourhood",) if k < neighbours else (),
    )


def _ranks_of(
    vectors: Float32[np.ndarray, "points dim"],
    coords: Float32[np.ndarray, "points 2"],
    anchors: Int64[np.ndarray, " anchors"],
    k: int,
) -> tuple[Int64[np.ndarray, "anchors k"], Int64[np.ndarray, "anchors k"]]:
    """Return ranks among the vectors of the nearest on the map, and the other way round."""
    from tasks.compute.projection.kernels import neighbour_ranks

    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    norms = np.einsum("ij,ij->i", centred, centred)
    places = np.ascontiguousarray(coords, dtype=np.float64)
    there, back = np.empty((2, len(anchors), k), np.int64)
    step = max(1, _BLOCK_BYTES // (4 * len(vectors)))
    for first in range(0, len(anchors), step):
        span = slice(first, first + step)
        dots = centred[anchors[span]] @ centred.T
        neighbour_ranks(dots, norms, places, anchors[span], there[span], back[span])
    return there, back
