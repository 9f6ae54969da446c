"""The k largest of a short row, ties resolved as the stock criterion's top-k resolves them.

`torch.topk` on the CPU is the selection of the C++ library when n < 64 k: a quicksort that follows
only the side that place k - 1 lies in, with the median of three entries as its pivot; three or
fewer entries are sorted by insertion. Which of equal entries come to lie before the cut depends on
how entries are moved, so they are moved in the same way here.
Musser 1997, Introspective sorting and selection algorithms.
"""

from typing import no_type_check

import numpy as np

from tasks.compute.losses.kernels.arrays import Array
from tasks.compute.losses.kernels.compiling import kernel
from tasks.compute.losses.kernels.heap import sift

SORTED_BY_INSERTION = 3


@no_type_check
@kernel()
def swap(values: Array, places: Array, one: int, other: int) -> None:
    """Exchange two entries."""
    values[one], values[other] = values[other], values[one]
    places[one], places[other] = places[other], places[one]


@no_type_check
@kernel()
def median_of(values: Array, one: int, middle: int, last: int) -> int:
    """Return which of three entries is the median."""
    a, b, c = values[one], values[middle], values[last]
    if a > b:
        if b > c:
            return middle
        return last if a > c else one
    if a > c:
        return one
    return last if b > c else middle


@no_type_check
@kernel()
def split(values: Array, places: Array, first: int, last: int) -> int:
    """Move what is larger than the pivot before what is smaller; return where the latter begins."""
    swap(values, places, first, median_of(values, first + 1, first + (last - first) // 2, last - 1))
    pivot = values[first]
    low, high = first + 1, last
    while True:
        while values[low] > pivot:
            low += 1
        high -= 1
        while pivot > values[high]:
            high -= 1
        if low >= high:
            return low
        swap(values, places, low, high)
        low += 1


@no_type_check
@kernel()
def insertion_sort(values: Array, places: Array, first: int, last: int) -> None:
    """Sort a few entries, the largest first; equal ones keep their order."""
    for entry in range(first + 1, last):
        hole = entry
        while hole > first and values[hole] > values[hole - 1]:
            swap(values, places, hole, hole - 1)
            hole -= 1


@no_type_check
@kernel()
def heap_select(values: Array, places: Array, first: int, k: int, last: int) -> None:
    """Move the k largest of first:last to its front, the smallest of them first."""
    held, named = values[first:last], places[first:last]
    for parent in range((k - 2) // 2, -1, -1):
        sift(held, named, parent, k, held[parent], named[parent])
    for entry in range(k, last - first):
        if held[entry] > held[0]:
            value, place = held[entry], named[entry]
            held[entry], named[entry] = held[0], named[0]
            sift(held, named, np.int64(0), k, value, place)


@no_type_check
@kernel()
def move_largest(values: Array, places: Array, count: int, k: int) -> None:
    """Move the k largest of the first `count` entries to the front, in no order."""
    first, last, depth = np.int64(0), count, 0
    length = count
    while length > 1:
        length //= 2
        depth += 2
    while last - first > SORTED_BY_INSERTION:
        if depth == 0:  # unlucky pivots
            heap_select(values, places, first, k - first, last)
            return
        depth -= 1
        cut = split(values, places, first, last)
        if cut <= k - 1:
            first = cut
        else:
            last = cut
    insertion_sort(values, places, first, last)
