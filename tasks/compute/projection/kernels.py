"""The inner loops of maps, compiled by numba: nearest neighbours, ranks, placement.

They release the GIL. The compiled functions do without jaxtyping, which numba cannot read.
"""

from typing import Any, no_type_check

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]


@no_type_check
@njit(cache=True, nogil=True)
def _sift(values: Array, places: Array, value: float, place: int) -> None:
    """Replace the root of a heap, its largest value, and restore the heap."""
    size, at = values.shape[0], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and values[child + 1] > values[child]:
            child += 1
        if values[child] <= value:
            break
        values[at], places[at] = values[child], places[child]
        at = child
    values[at], places[at] = value, place


@no_type_check
@njit(cache=True, nogil=True)
def nearest_candidates(dots: Array, norms: Array, first: int, out: Array) -> None:
    """Write the columns of the smallest norms[j] - 2 dots[i, j] of each row to `out` (n, k), in no
    order; row i is point `first` + i, which is not its own neighbour."""
    count, points = dots.shape
    for i in range(count):
        values = np.full(out.shape[1], np.inf, np.float32)
        row, places = dots[i], out[i]
        for j in range(points):
            far = norms[j] - 2 * row[j]
            if far < values[0] and j != first + i:
                _sift(values, places, far, j)


@no_type_check
@njit(cache=True, nogil=True)
def _squared(a: Array, b: Array) -> float:
    total = 0.0
    for at in range(a.shape[0]):
        step = np.float64(a[at]) - np.float64(b[at])
        total += step * step
    return total


@no_type_check
@njit(cache=True, nogil=True)
def sort_exactly(
    rows: Array, points: Array, candidates: Array, neighbours: Array, distances: Array
) -> None:
    """Write the nearest of the candidates (n, c) of each of `rows` (n, d) among `points`, by
    distance in float64 and then by number, to `neighbours` and `distances` (n, k <= c)."""
    kept = neighbours.shape[1]
    for i in range(rows.shape[0]):
        found = np.empty(candidates.shape[1])
        for c in range(found.shape[0]):
            found[c] = _squared(rows[i], points[candidates[i, c]])
        order = np.argsort(candidates[i])  # by number first, for ties
        order = order[np.argsort(found[order], kind="mergesort")]
        for c in range(kept):
            neighbours[i, c] = candidates[i, order[c]]
            distances[i, c] = np.sqrt(found[order[c]])


@no_type_check
@njit(cache=True, nogil=True)
def _nearest_few(far: Array, own: int, near: Array) -> None:
    """Write the places of the smallest of `far` to `near` (k,), in order, without `own`."""
    values = np.full(near.shape[0], np.inf)
    for j in range(far.shape[0]):
        if far[j] >= values[-1] or j == own:
            continue
        at = near.shape[0] - 1
        while at > 0 and values[at - 1] > far[j]:
            values[at], near[at] = values[at - 1], near[at - 1]
            at -= 1
        values[at], near[at] = far[j], j


@no_type_check
@njit(cache=True, nogil=True)
def _ranks(far: Array, own: int, asked: Array, ranks: Array) -> None:
    """Write to `ranks` how many points, `own` left out, are nearer than each of those asked, itself
    counted; of equally far ones those of lower numbers are nearer."""
    ranks[:] = 1
    limits = far[asked]
    for j in range(far.shape[0]):
        if j == own:
            continue
        for k in range(asked.shape[0]):
            if far[j] < limits[k] or (far[j] == limits[k] and j < asked[k]):
                ranks[k] += 1


@no_type_check
@njit(cache=True, nogil=True)
def neighbour_ranks(
    dots: Array, norms: Array, coords: Array, anchors: Array, there: Array, back: Array
) -> None:
    """Write, for each anchor, the ranks among the vectors of its nearest points on the map to
    `there` (n, k), and the ranks on the map of its nearest vectors to `back` (n, k).

    `dots` (n, points) are the products of the anchors' vectors with all, `norms` all squared norms.
    """
    points = coords.shape[0]
    vectors_far, map_far = np.empty(points), np.empty(points)
    near = np.empty(there.shape[1], np.int64)
    for i in range(anchors.shape[0]):
        own = anchors[i]
        for j in range(points):
            vectors_far[j] = norms[j] - 2 * dots[i, j]
            x, y = coords[j, 0] - coords[own, 0], coords[j, 1] - coords[own, 1]
            map_far[j] = x * x + y * y
        _nearest_few(map_far, own, near)
        _ranks(vectors_far, own, near, there[i])
        _nearest_few(vectors_far, own, near)
        _ranks(map_far, own, near, back[i])


@no_type_check
@njit(cache=True, nogil=True)
def components_of(row: Array, mean: Array, components: Array, scores: Array) -> float:
    """Write where `row` lies along the components to `scores`, and return how far it is from all
    that they can say. Sums run in one order: a row alone gives the same bits as among others."""
    whole = 0.0
    for at in range(row.shape[0]):
        step = np.float64(row[at]) - np.float64(mean[at])
        whole += step * step
    kept = 0.0
    for c in range(components.shape[0]):
        total = 0.0
        for at in range(row.shape[0]):
            total += (np.float64(row[at]) - np.float64(mean[at])) * np.float64(components[c, at])
        scores[c] = total
        kept += total * total
    return max(whole - kept, 0.0) ** 0.5


@no_type_check
@njit(cache=True, nogil=True)
def _middle(coords: Array, near: Array, weights: Array) -> Array:
    """Return the weighted geometric median of the points `near`, by Weiszfeld's iteration."""
    place = np.zeros(2)
    for k in range(near.shape[0]):
        place += weights[k] * coords[near[k]]
    place /= weights.sum()
    for _ in range(100):
        total, pulled = 0.0, np.zeros(2)
        for k in range(near.shape[0]):
            far = np.sqrt(_squared(place, coords[near[k]]))
            pull = weights[k] / max(far, 1e-9)
            total += pull
            pulled += pull * coords[near[k]]
        place = pulled / total
    return place


@no_type_check
@njit(cache=True, nogil=True)
def place_rows(
    scores: Array, residuals: Array, reference: Array, coords: Array, placed: Array, strange: Array
) -> None:
    """Write the place of each row to `placed` (n, 2), and its squared distances to the k nearest
    of the reference to `strange` (n, k), what components cannot say of it included."""
    count, wanted = scores.shape[0], strange.shape[1]
    far, near = np.empty(reference.shape[0]), np.empty(wanted, np.int64)
    for i in range(count):
        for j in range(far.shape[0]):
            far[j] = _squared(scores[i], reference[j])
        _nearest_few(far, -1, near)
        strange[i] = far[near] + residuals[i] * residuals[i]
        floor = max(far[near[-1]] * 1e-9, 1e-30)
        placed[i] = _middle(coords, near, 1.0 / np.maximum(far[near], floor))
