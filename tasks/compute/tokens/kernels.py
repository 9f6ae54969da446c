"""What is known of each feature from its sorted entries: sums, histogram, the strongest, compiled.

Values are the bits of non-negative floats, which sort as the integers that they are. The compiled
functions do without jaxtyping, which numba cannot read.
"""

from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64
from numba import njit

Array = np.ndarray[Any, Any]

BINS = 64
TOP = 64


def half_table() -> Float32[np.ndarray, "65536"]:
    """Return the float32 (65536,) that each float16 bit pattern stands for."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def bin_edges() -> Float64[np.ndarray, "65"]:
    """Return the 65 float64 edges of the histogram: half octaves from 2^-14, from 0 to infinity.

    They are the values of float16 with one bit of mantissa, so that a bin is a shift away.
    """
    edges = [0.0, 2.0**-15]
    edges += [2.0 ** (octave - 14) * (1 + half / 2) for octave in range(31) for half in (0, 1)]
    return np.array([*edges, np.inf])


@no_type_check
@njit(cache=True)
def _sift(heap: Array, place: int) -> None:
    """Restore a min-heap in which the item at `place` may be too large."""
    size, item = heap.shape[0], heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= item:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = item


@no_type_check
@njit(cache=True)
def _bin(bits: int) -> int:
    """Return the bin of a positive float32."""
    if bits < 0x38800000:
        return 0 if bits < 0x38000000 else 1
    return min((bits >> 22) - 224, BINS - 1)


@no_type_check
@njit(cache=True)
def statistics(
    offsets: Array,
    values: Array,
    halves: Array,
    sums: Array,
    squares: Array,
    most: Array,
    histogram: Array,
) -> None:
    """Fill sum, sum of squares, largest bits and the histogram (n_features, 64) of each feature.

    `offsets` (n_features + 1) say where its values lie; `values` are float16 bits, told by the
    table `halves`.
    """
    for feature in range(offsets.shape[0] - 1):
        first, second = 0.0, 0.0
        more, other = 0.0, 0.0
        largest = np.uint16(0)
        start, stop = offsets[feature], offsets[feature + 1]
        if (stop - start) & 1:
            bits = values[start]
            value = halves[bits]
            first, second = np.float64(value), np.float64(value) * value
            histogram[feature, bits >> 9] += 1
            start += 1
        for entry in range(start, stop, 2):  # two chains of additions hide their latency
            bits = values[entry]
            value = np.float64(halves[bits])
            first += value
            second += value * value
            histogram[feature, bits >> 9] += 1
            bits = values[entry + 1]
            value = np.float64(halves[bits])
            more += value
            other += value * value
            histogram[feature, bits >> 9] += 1
        for entry in range(offsets[feature], stop):  # apart, so that it is vectorised
            largest = max(largest, values[entry])
        sums[feature] = first + more
        squares[feature] = second + other
        most[feature] = largest


@no_type_check
@njit(cache=True)
def statistics_f32(
    offsets: Array,
    bits: Array,
    values: Array,
    sums: Array,
    squares: Array,
    most: Array,
    histogram: Array,
) -> None:
    """Do as `statistics` does, of float32 `values` and their `bits`."""
    for feature in range(offsets.shape[0] - 1):
        first, second = 0.0, 0.0
        largest = np.uint32(0)
        for entry in range(offsets[feature], offsets[feature + 1]):
            value = np.float64(values[entry])
            first += value
            second += value * value
            place = _bin(int(bits[entry]))
            histogram[feature, place] += 1
            largest = max(largest, bits[entry])
        sums[feature] = first
        squares[feature] = second
        most[feature] = largest


@no_type_check
@njit(cache=True)
def _floor(histogram: Array, wanted: int) -> int:
    """Return the lowest bin that one of the `wanted` largest values lies in."""
    total = 0
    for place in range(histogram.shape[0] - 1, -1, -1):
        total += histogram[place]
        if total >= wanted:
            return place
    return 0


@no_type_check
@njit(cache=True)
def _raised(keys: Array, floor: int, shift: int, wanted: int) -> int:
    """Return a floor, at least `floor`, that at least `wanted` of `keys` reach, and hardly more:
    their values are counted in 64 bins above it."""
    counts = np.zeros(64, np.uint32)
    for entry in range(keys.shape[0]):
        value = np.int64(keys[entry] >> np.uint64(32))
        counts[min((value - floor) >> shift, 63)] += 1
    return floor + (_floor(counts, wanted) << shift)


@no_type_check
@njit(cache=True)
def _keep_best(keys: Array, floor: int, heap: Array) -> None:
    """Fill `heap`, zeros, with the largest of `keys`; those of lower value than `floor` are not
    among them."""
    size, held = heap.shape[0], 0
    least = np.uint64(floor) << np.uint64(32)
    for entry in range(keys.shape[0]):
        key = keys[entry]
        if key < least:
            continue
        if held < size:
            heap[held] = key
            held += 1
            if held == size:
                for place in range(size // 2 - 1, -1, -1):
                    _sift(heap, place)
        elif key > heap[0]:
            heap[0] = key
            _sift(heap, 0)


@no_type_check
@njit(cache=True)
def strongest(
    offsets: Array,
    segments: int,
    tokens: Array,
    values: Array,
    base: int,
    lowest: Array,
    histogram: Array,
    top: Array,
) -> None:
    """Fill `top` (n_features, 64) uint64, zeros, with each feature's strongest entries.

    An entry is value bits << 32 | ~token: larger is stronger, and of equals the earlier token. 0 is
    no entry. `base` is the first token of the part, `lowest` the least bits of each bin: what lies
    in lower bins than the 64th strongest is passed by.
    """
    size = top.shape[1]
    shift = 3 if values.itemsize == 2 else 16  # a bin in 64
    keys = np.empty(1, np.uint64)
    for feature in range(top.shape[0]):
        bin_of_last = _floor(histogram[feature], size)
        floor = np.int64(lowest[bin_of_last])
        room = histogram[feature, bin_of_last:].sum() + 1
        if room > keys.shape[0]:
            keys = np.empty(room, np.uint64)
        held = 0
        for segment in range(segments):
            begin = 0xFFFFFFFF - (base + (segment << 16))
            run = feature * segments + segment
            for entry in range(offsets[run], offsets[run + 1]):
                value = np.int64(values[entry])  # written always, kept or not: nothing to predict
                keys[held] = np.uint64((value << 32) | (begin - np.int64(tokens[entry])))
                held += value >= floor
        if held > size:
            floor = _raised(keys[:held], floor, shift, size)
        _keep_best(keys[:held], floor, top[feature])
