"""What is known of each feature from its sorted entries: sums, histogram, the strongest, compiled.

Values are the bits of non-negative floats, which sort as the integers that they are. The compiled
functions do without jaxtyping, which numba cannot read.
"""

from functools import cache
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64
from numba import njit

Array = np.ndarray[Any, Any]

BINS = 64
TOP = 64
_STRIDE = 64
"""Values that are passed by at once where none is strong."""


@cache
def half_table() -> Float32[np.ndarray, "65536"]:
    """Return the float32 (65536,) that each float16 bit pattern stands for, read-only."""
    table = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    table.flags.writeable = False
    return table


def bin_edges() -> Float64[np.ndarray, "65"]:
    """Return the 65 float64 edges of the histogram: half octaves from 2^-14, from 0 to infinity.

    They are the values of float16 with one bit of mantissa, so that a bin is a shift away.
    """
    edges = [0.0, 2.0**-15]
    edges += [2.0 ** (octave - 14) * (1 + half / 2) for octave in range(31) for half in (0, 1)]
    return np.array([*edges, np.inf])


@no_type_check
@njit(cache=True)
def _bin(bits: int) -> int:
    """Return the bin of a positive float32."""
    if bits < 0x38800000:
        return 0 if bits < 0x38000000 else 1
    return min((bits >> 22) - 224, BINS - 1)


@no_type_check
@njit(cache=True, nogil=True)
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
@njit(cache=True, nogil=True)
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
def _largest(values: Array) -> int:
    """Return the largest of unsigned `values`, which is vectorised."""
    largest = values[0]
    for entry in range(1, values.shape[0]):
        largest = max(largest, values[entry])
    return largest


@no_type_check
@njit(cache=True)
def _reaching(values: Array, floor: int, places: Array) -> int:
    """Fill `places` with where `values` are at least `floor`, ascending; return how many are."""
    held, stop = 0, values.shape[0] // _STRIDE * _STRIDE
    for begin in range(0, values.shape[0], _STRIDE):
        end = begin + _STRIDE
        if begin == stop:
            end = values.shape[0]
        elif _largest(values[begin:end]) < floor:
            continue
        for entry in range(begin, end):
            places[held] = entry  # written always, kept or not: nothing to predict
            held += values[entry] >= floor
    return held


@no_type_check
@njit(cache=True)
def _nth(values: Array, places: Array, floor: int, most: int, wanted: int) -> int:
    """Return the `wanted`-th largest of the values at `places`, all from `floor` to `most`: of 64
    bins of equal width the one that it lies in, of that one's 64 bins, and so on."""
    shift = 0
    while (most - floor) >> shift > 63:
        shift += 1
    while True:
        counts = np.zeros(65, np.uint32)
        for place in places:
            above = np.int64(values[place]) - floor
            counts[min(above >> shift, 63) if above >= 0 else 64] += np.uint32(1)
        floor += _floor(counts[:64], wanted) << shift
        if shift == 0:
            return floor
        shift = max(shift - 6, 0)


@no_type_check
@njit(cache=True)
def _keep_best(values: Array, places: Array, least: int, wanted: int) -> int:
    """Move the `wanted` strongest of `places` to their front, in order; return how many those are.

    `least` is the value of the weakest; of those that have it, the first are taken.
    """
    equals, held = wanted, 0
    for place in places:
        equals -= values[place] > least
    for place in places:
        is_equal = (values[place] == least) & (equals > 0)
        places[held] = place  # written always, as above
        held += (values[place] > least) | is_equal
        equals -= is_equal
    return held


@no_type_check
@njit(cache=True, nogil=True)
def strongest(
    offsets: Array,
    segments: int,
    tokens: Array,
    values: Array,
    base: int,
    lowest: Array,
    histogram: Array,
    most: Array,
    top: Array,
) -> None:
    """Fill `top` (features, 64) uint64, zeros, with each feature's strongest entries, in no order.

    An entry is value bits << 32 | ~token: larger is stronger, and of equals the earlier token. 0 is
    no entry. `base` is the first token of the part, `lowest` the least bits of each bin: what lies
    in lower bins than the 64th strongest is passed by. `most` are the largest bits.
    """
    size, places = top.shape[1], np.empty(1, np.uint32)
    for feature in range(top.shape[0]):
        run = feature * segments
        start, stop = np.int64(offsets[run]), np.int64(offsets[run + segments])
        mine, bin_of_last = values[start:stop], _floor(histogram[feature], size)
        room = histogram[feature, bin_of_last:].sum() + 1
        if room > places.shape[0]:
            places = np.empty(room, np.uint32)
        found = places[: _reaching(mine, lowest[bin_of_last], places)]
        if found.shape[0] > size:
            least = _nth(mine, found, np.int64(lowest[bin_of_last]), np.int64(most[feature]), size)
            found = found[: _keep_best(mine, found, least, size)]
        for held in range(found.shape[0]):
            entry = start + found[held]
            while entry >= offsets[run + 1]:
                run += 1
            token = base + ((run - feature * segments) << 16) + np.int64(tokens[entry])
            value = np.int64(values[entry])
            top[feature, held] = np.uint64((value << 32) | (0xFFFFFFFF - token))
