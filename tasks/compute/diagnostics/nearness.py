"""What nearness in the features says: votes of neighbours, silhouettes, twins across splits.

All in blocks: memory is a block's, whatever the number of rows.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from tasks.compute.projection.pca import unit_length

_BLOCK_BYTES = 1 << 26  # 64 MiB of products at once


def unit(rows: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
    """Return rows of length 1; a row of zeros stays, and is like no other."""
    largest = np.abs(rows).max(axis=1, initial=0)
    found = np.zeros_like(rows)
    found[largest > 0] = unit_length(rows[largest > 0])
    return found


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of `rows` whose products with `columns` others fit into a block."""
    step = max(1, _BLOCK_BYTES // (4 * max(columns, 1)))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def nearest(
    units: Float32[np.ndarray, "rows dim"],
    asked: Int64[np.ndarray, " asked"],
    known: Int64[np.ndarray, " known"],
    k: int,
) -> Int64[np.ndarray, "asked k"]:
    """Return for each row of `asked` its `k` nearest other rows of `known` by cosine, nearest
    first; of equally near ones the earlier. `known` is ascending and has more than `k` rows."""
    found = np.empty((len(asked), k), np.int64)
    others = units[known]
    for span in blocks(len(asked), len(known)):
        cosines = units[asked[span]] @ others.T
        place = np.searchsorted(known, asked[span]).clip(max=len(known) - 1)
        itself = known[place] == asked[span]
        cosines[np.flatnonzero(itself), place[itself]] = -np.inf
        best = np.sort(np.argpartition(-cosines, k - 1, axis=1)[:, :k], axis=1)
        far = -np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(far, axis=1, kind="stable")
        found[span] = known[np.take_along_axis(best, order, axis=1)]
    return found


def vote(
    near: Int64[np.ndarray, "asked k"], labels: Int64[np.ndarray, " rows"], count: int
) -> Int64[np.ndarray, " asked"]:
    """Return the commonest label of each row's neighbours; of equally common ones the nearer's."""
    given = labels[near]
    ballots = np.zeros((len(near), count))
    for rank in range(
        near.shape[1]
    ):  # the nearest decides a tie: all halves are less than a ballot
        np.add.at(ballots, (np.arange(len(near)), given[:, rank]), 1 + 0.5 ** (rank + 1))
    return np.asarray(ballots.argmax(axis=1), np.int64)


def silhouettes(
    rows: Float32[np.ndarray, "rows dim"],
    labels: Int64[np.ndarray, " rows"],
    asked: Int64[np.ndarray, " asked"],
) -> Float64[np.ndarray, " asked"]:
    """Return the silhouette, in [-1, 1], of the rows `asked` among all: (b - a) / max(a, b).

    a is the mean Euclidean distance to the others of its label, b the least mean distance to
    another label's; a label's only row has 0. Rousseeuw, "Silhouettes" (1987). There are two labels
    or more.
    """
    order = np.argsort(labels, kind="stable")
    centred = (rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32))[order]
    norms = np.einsum("ij,ij->i", centred, centred)
    names, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows))
    found = np.empty(len(asked))
    for span in blocks(len(asked), len(rows)):
        at = place[asked[span]]
        squares = norms[at, None] + norms[None] - 2 * (centred[at] @ centred.T)
        squares[np.arange(len(at)), at] = 0  # the distance to itself, whatever rounding makes of it
        sums = np.add.reduceat(np.sqrt(np.maximum(squares, 0)), starts, axis=1, dtype=np.float64)
        own = np.searchsorted(names, labels[asked[span]])
        line = np.arange(len(at))
        inner = sums[line, own] / np.maximum(sizes[own] - 1, 1)
        means = sums / sizes
        means[line, own] = np.inf
        outer = means.min(axis=1)
        widest = np.maximum(inner, outer)
        value = np.where(widest > 0, (outer - inner) / np.where(widest > 0, widest, 1), 0)
        found[span] = np.where(sizes[own] > 1, value, 0)
    return found


class Twins(NamedTuple):
    """Pairs of rows of different splits, the likest first, and how many there are in all."""

    pairs: Int64[np.ndarray, "pairs 2"]
    cosines: Float32[np.ndarray, " pairs"]
    total: int


def twins(
    units: Float32[np.ndarray, "rows dim"],
    splits: Int64[np.ndarray, " rows"],
    asked: Int64[np.ndarray, " asked"],
    *,
    least: float,
    most: int,
) -> Twins:
    """Return the `most` likest pairs of a row of `asked` with any row of another split.

    A pair of two asked rows counts once. Their cosine is `least` or more.
    """
    is_asked = np.zeros(len(units), bool)
    is_asked[asked] = True
    pairs, cosines, count = np.empty((0, 2), np.int64), np.empty(0, np.float32), 0
    for span in blocks(len(asked), len(units)):
        one = asked[span]
        products = units[one] @ units.T
        line, other = np.nonzero(products >= least - 1e-6)  # float32 may lose the last digit
        row = one[line]
        keep = (splits[row] != splits[other]) & ~(is_asked[other] & (other < row))
        count += int(keep.sum())
        fresh = np.stack([row[keep], other[keep]], axis=1)
        pairs = np.vstack([pairs, fresh])
        cosines = np.append(cosines, products[line[keep], other[keep]]).astype(np.float32)
        best = np.lexsort((pairs[:, 1], pairs[:, 0], -cosines))[:most]
        pairs, cosines = pairs[best], cosines[best]
    return Twins(pairs, np.minimum(cosines, 1).astype(np.float32), count)
