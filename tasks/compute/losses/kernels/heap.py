"""The k largest of a row, ties resolved as the stock criterion's top-k resolves them.

`torch.topk` on the CPU is the partial sort of the C++ library when 64 k <= n: a heap of the first k
entries, whose smallest is replaced by every later entry that is larger. Which of equal entries
stay depends on how the heap is kept, so it is kept in the same way here. Entries that are 0, as
most are, never replace another: only the first k anchors and the candidates need be looked at.
"""

from typing import no_type_check

import numpy as np

from tasks.compute.losses.kernels.arrays import Array
from tasks.compute.losses.kernels.compiling import kernel


@no_type_check
@kernel()
def sift(values: Array, places: Array, hole: int, length: int, value: float, place: int) -> None:
    """Put (value, place) into the heap, from `hole` to a leaf and up again."""
    top = hole
    child = hole
    while child < (length - 1) // 2:
        child = 2 * (child + 1)
        if values[child] > values[child - 1]:
            child -= 1
        values[hole], places[hole] = values[child], places[child]
        hole = child
    if length % 2 == 0 and child == (length - 2) // 2:
        child = 2 * (child + 1)
        values[hole], places[hole] = values[child - 1], places[child - 1]
        hole = child - 1
    parent = (hole - 1) // 2
    while hole > top and values[parent] > value:
        values[hole], places[hole] = values[parent], places[parent]
        hole = parent
        parent = (hole - 1) // 2
    values[hole], places[hole] = value, place


@no_type_check
@kernel()
def heap_largest(
    metric: Array, anchors: Array, first: int, last: int, k: int, values: Array, places: Array
) -> None:
    """Leave in `places` which candidates first:last are among the k largest; -1 is none of them.

    `anchors` ascend; a candidate is named by its place, an anchor that is no candidate by -1.
    """
    for anchor in range(k):
        values[anchor], places[anchor] = 0.0, -1
    begin = first
    while begin < last and anchors[begin] < k:
        values[anchors[begin]], places[anchors[begin]] = metric[begin], begin
        begin += 1
    for parent in range((k - 2) // 2, -1, -1):
        sift(values, places, parent, k, values[parent], places[parent])
    for place in range(begin, last):
        if metric[place] > values[0]:
            sift(values, places, np.int64(0), k, metric[place], place)
