"""One map laid onto another: turned, mirrored, moved and scaled, nothing else."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from tasks.compute.projection.trust import Stability


@dataclass(frozen=True, eq=False)
class Alignment:
    """How one map is laid onto another: scale * rotation, then a move."""

    scale: float
    rotation: Float64[np.ndarray, "2 2"]
    """Orthogonal; a determinant of -1 mirrors."""
    move: Float64[np.ndarray, " 2"]
    disparity: float
    """What stays unexplained, of the target's variance: 0 alike, 1 unrelated."""

    def apply(self, coords: Float32[np.ndarray, "points 2"]) -> Float32[np.ndarray, "points 2"]:
        """Return `coords` laid onto the target."""
        turned = self.scale * coords.astype(np.float64) @ self.rotation
        placed: Float32[np.ndarray, "points 2"] = (turned + self.move).astype(np.float32)
        return placed


def align(
    coords: Float32[np.ndarray, "points 2"], target: Float32[np.ndarray, "points 2"]
) -> Alignment:
    """Return what lays `coords` best onto `target`, in the sense of least squares.

    Schönemann & Carroll, "Fitting one matrix to another under choice of a central dilation and a
    rigid motion" (1970). Points without any spread are only moved.
    """
    a, b = coords.astype(np.float64), target.astype(np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - mean_a, b - mean_b
    left, kept, right = np.linalg.svd(a.T @ b)
    spread_a, spread_b = float((a**2).sum()), float((b**2).sum())
    rotation = left @ right
    scale = float(kept.sum()) / spread_a if spread_a > 0 and spread_b > 0 else 1.0
    explained = float(kept.sum()) ** 2 / (spread_a * spread_b) if spread_a * spread_b > 0 else 0.0
    disparity = 0.0 if spread_a == spread_b == 0 else max(0.0, 1 - explained)
    return Alignment(scale, rotation, mean_b - scale * mean_a @ rotation, disparity)


def radius(coords: Float32[np.ndarray, "points 2"]) -> float:
    """Return the root mean square distance of the points from their centre."""
    exact = coords.astype(np.float64)
    return float(np.sqrt(((exact - exact.mean(axis=0)) ** 2).sum(axis=1).mean()))


@dataclass(frozen=True)
class Moves:
    """How far the points that both maps have moved, in radii of the old map."""

    points: int
    median: float
    p95: float
    largest: float
    disparity: float
    scale: float
    """By which the new map was scaled to lie on the old one."""

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


def moves(
    aligned: Float32[np.ndarray, "points 2"],
    old: Float32[np.ndarray, "points 2"],
    alignment: Alignment,
) -> Moves:
    """Return how far the points of `old` stand from where `aligned` has them."""
    size = radius(old) or 1.0
    far = np.linalg.norm(aligned.astype(np.float64) - old, axis=1) / size
    middle, high = np.quantile(far, (0.5, 0.95))
    return Moves(
        len(old),
        float(middle),
        float(high),
        float(far.max()),
        alignment.disparity,
        alignment.scale,
    )


def stability(
    maps: Sequence[Float32[np.ndarray, "points 2"]], neighbours: int, anchors: int, seed: int = 0
) -> tuple[Stability, Float32[np.ndarray, " points"]]:
    """Return how alike `maps` of several seeds are, and of every point how far it strays: the root
    mean square distance from its mean place once all lie on the first map, in radii of that."""
    from tasks.compute.projection.trust import trust

    first = maps[0]
    laid = [first, *(align(other, first).apply(other) for other in maps[1:])]
    stack = np.stack(laid).astype(np.float64)
    far = np.sqrt(((stack - stack.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    strays = (far / (radius(first) or 1.0)).astype(np.float32)
    pairs = [(a, b) for a in range(len(maps)) for b in range(a + 1, len(maps))]
    disparities = [align(maps[b], maps[a]).disparity for a, b in pairs]
    recalls = [
        trust(maps[a], maps[b], neighbours=neighbours, anchors=anchors, seed=seed).recall.mean()
        for a, b in pairs
    ]
    found = Stability(
        len(maps), float(np.mean(disparities)), float(np.median(strays)), float(np.mean(recalls))
    )
    return found, strays
