"""New rows on an old map: each placed alone, against a reference that does not move."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64


@dataclass(frozen=True, eq=False)
class Reference:
    """The old rows: what they are, and where they stand."""

    mean: Float32[np.ndarray, " dim"]
    components: Float32[np.ndarray, "kept dim"]
    scores: Float32[np.ndarray, "points kept"]
    residuals: Float32[np.ndarray, " points"]
    """How far each is from what the components can say of it."""
    coords: Float32[np.ndarray, "points 2"]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where new rows stand, and how much they are like the old ones."""

    coords: Float32[np.ndarray, "rows 2"]
    in_distribution: Float32[np.ndarray, " rows"]
    """The share of old rows that are as far or farther from their neighbours, counting the new one
    (a conformal p-value: of rows like the old ones, 5 % are below 0.05)."""


def place(
    vectors: Float32[np.ndarray, "rows dim"], reference: Reference, neighbours: int
) -> Placement:
    """Return the place of each row: the geometric median of its nearest old rows on the map, each
    weighted by the inverse of its squared distance.

    A row's place depends on that row and on the reference alone, to the last bit: not on what comes
    with it. Raises ValueError where the reference has fewer than 2 points.
    """
    from tasks.compute.projection.graph import nearest_neighbours
    from tasks.compute.projection.kernels import place_rows

    points = len(reference.scores)
    if points < 2:
        raise ValueError(f"{points} old rows place nothing: 2 is the least")
    k = min(neighbours, points - 1)
    scores, residuals = _scores(vectors, reference)
    coords, squared = np.empty((len(vectors), 2)), np.empty((len(vectors), k))
    old = reference.scores.astype(np.float64)
    places = np.ascontiguousarray(reference.coords, dtype=np.float64)
    place_rows(scores, residuals, np.ascontiguousarray(old), places, coords, squared)
    own = nearest_neighbours(reference.scores, k).distances.astype(np.float64)
    known = np.sort((own**2).mean(axis=1) + reference.residuals.astype(np.float64) ** 2)
    farther = points - np.searchsorted(known, squared.mean(axis=1), side="left")
    return Placement(coords.astype(np.float32), ((1 + farther) / (points + 1)).astype(np.float32))


def _scores(
    vectors: Float32[np.ndarray, "rows dim"], reference: Reference
) -> tuple[Float64[np.ndarray, "rows kept"], Float64[np.ndarray, " rows"]]:
    from tasks.compute.projection.kernels import components_of

    scores = np.empty((len(vectors), len(reference.components)))
    residuals = np.empty(len(vectors))
    for at, row in enumerate(vectors):
        residuals[at] = components_of(row, reference.mean, reference.components, scores[at])
    return scores, residuals


def match_rows(ids: Sequence[str], old_ids: Sequence[str]) -> Int64[np.ndarray, " rows"]:
    """Return, for each of `ids`, the place of the same id in `old_ids`, or -1.

    Of an id that occurs several times the first is matched with the first, and so on.
    """
    waiting: dict[str, list[int]] = {}
    for at in range(len(old_ids) - 1, -1, -1):
        waiting.setdefault(old_ids[at], []).append(at)
    found = (waiting.get(name) for name in ids)
    return np.array([places.pop() if places else -1 for places in found], dtype=np.int64)


def differing(
    matched: Int64[np.ndarray, " rows"], digests: Sequence[str], old: Sequence[str]
) -> Bool[np.ndarray, " rows"]:
    """Return which rows bear the id of an old row, but have another vector."""
    return np.array(
        [at >= 0 and digest != old[at] for at, digest in zip(matched, digests, strict=True)], bool
    )
