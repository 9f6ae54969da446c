"""The k largest of a row of anchors, found in the way that the stock criterion's top-k takes."""

from typing import no_type_check

from tasks.compute.losses.kernels.arrays import Array
from tasks.compute.losses.kernels.compiling import kernel
from tasks.compute.losses.kernels.heap import heap_largest
from tasks.compute.losses.kernels.select import move_largest

HEAP_FROM = 64
"""Rows of at least so many times k entries go through a heap, shorter ones are partitioned."""


@no_type_check
@kernel()
def largest(
    metric: Array,
    anchors: Array,
    first: int,
    last: int,
    k: int,
    total: int,
    values: Array,
    places: Array,
) -> None:
    """Leave in places[:k] which candidates first:last are among the k largest of `total` anchors.

    `anchors` ascend; a candidate is named by its place, an anchor that is no candidate by -1, and
    its metric is 0. `values` and `places` have room for `row_room(k, total)` entries.
    """
    if HEAP_FROM * k <= total:
        heap_largest(metric, anchors, first, last, k, values, places)
        return
    values[:total] = 0.0
    places[:total] = -1
    for place in range(first, last):
        values[anchors[place]], places[anchors[place]] = metric[place], place
    move_largest(values, places, total, k)


def row_room(k: int, total: int) -> int:
    """How many entries the search for the k largest of `total` anchors works on."""
    return k if HEAP_FROM * k <= total else total
