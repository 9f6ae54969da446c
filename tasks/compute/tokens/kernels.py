"""From tokens with their features to features with their tokens: a counting sort, compiled.

A block of tokens is counted and scattered feature by feature into one packed array (offset and
value of an entry in one word, so that a scatter touches one cache line); a part's blocks are then
merged, and the statistics taken while a feature's entries are still in the cache.

Values travel as the bits of non-negative floats, which sort as the integers that they are. The
compiled functions do without jaxtyping, which numba cannot read.
"""

from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64
from numba import njit

Array = np.ndarray[Any, Any]

BINS = 64
TOP = 64
OUT_OF_RANGE, NOT_FINITE, TOO_LARGE, DUPLICATE = 1, 2, 3, 4

_F32_INFINITY = 0x7F800000


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
def _half(bits: int) -> int:
    """Return the float16 nearest to a float32 below 2^-14, ties to even; never 0: active stays
    active."""
    shift = 126 - (bits >> 23)
    if shift > 25:
        return 1
    mantissa = (bits & 0x7FFFFF) | 0x800000
    kept = mantissa >> shift
    rest, middle = mantissa & ((1 << shift) - 1), 1 << (shift - 1)
    if rest > middle or (rest == middle and kept & 1):
        kept += 1
    return max(kept, 1)


@no_type_check
@njit(cache=True)
def _repeats(features: Array, bits: Array, token: int) -> bool:
    """Whether an entry of value 0 or less hides a later one of the same feature."""
    k = features.shape[1]
    for first in range(k):
        if bits[token, first] <= 0:
            for later in range(first + 1, k):
                if features[token, later] == features[token, first] and bits[token, later] > 0:
                    return True
    return False


@no_type_check
@njit(cache=True)
def count(features: Array, bits: Array, limit: int, counts: Array) -> tuple[int, int]:
    """Add up the active entries of each feature in `counts`; return (fault, token), (0, 0) if none.

    `bits` are float32 bits as int32, `limit` the largest that can be stored.
    """
    tokens, k = features.shape
    n_features = np.uint32(counts.shape[0])
    for token in range(tokens):
        active = 0
        for slot in range(k):
            feature, value = features[token, slot], bits[token, slot]
            if np.uint32(feature) >= n_features:
                return OUT_OF_RANGE, token
            if value > 0:
                if value > limit:
                    return (NOT_FINITE if value >= _F32_INFINITY else TOO_LARGE), token
                counts[feature] += 1
                active += 1
            elif value & 0x7FFFFFFF >= _F32_INFINITY:
                return NOT_FINITE, token
        if active < k and _repeats(features, bits, token):
            return DUPLICATE, token
    return 0, 0


@no_type_check
@njit(cache=True)
def scatter(
    features: Array, bits: Array, first: int, cursors: Array, is_half: bool, out: Array
) -> None:
    """Write each active entry of a block to the place of its feature, as value << 16 | offset.

    The block begins `first` tokens into its segment; `cursors` (n_features,) uint32 say where a
    feature's next entry goes.
    """
    tokens, k = features.shape
    for token in range(tokens):
        for slot in range(k):
            value = bits[token, slot]
            if value > 0:
                feature = np.uint32(features[token, slot])
                place = cursors[feature]
                word = np.uint32(value)
                if is_half:
                    if value >= 0x38800000:
                        word = (word - 0x38000000 + 0xFFF + ((word >> 13) & 1)) >> 13
                    else:
                        word = np.uint32(_half(value))
                out[place] = (word << 16) | (first + token)
                cursors[feature] = place + np.uint32(1)


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
def _first_twice(tokens: Array) -> int:
    """Return the first of ascending `tokens` that is there twice."""
    for entry in range(1, tokens.size):
        if tokens[entry] == tokens[entry - 1]:
            return tokens[entry]
    return -1


@no_type_check
@njit(cache=True)
def merge(
    packed: Array, starts: Array, blocks: int, offsets: Array, tokens: Array, values: Array
) -> int:
    """Bring each feature's entries of all blocks together, `blocks` of them to a segment.

    `packed` are the blocks of `scatter`, one after the other, `starts` (all blocks, n_features + 1)
    where each feature begins in it. Fills `offsets` (n_features * segments + 1), `tokens` (offset
    inside the segment) and `values` (bits).
    """
    segments, n_features = starts.shape[0] // blocks, starts.shape[1] - 1
    place = 0
    for feature in range(n_features):
        for segment in range(segments):
            offsets[feature * segments + segment] = place
            begin = place
            for block in range(segment * blocks, (segment + 1) * blocks):
                for entry in range(starts[block, feature], starts[block, feature + 1]):
                    word = packed[entry]
                    tokens[place] = word & 0xFFFF
                    values[place] = word >> 16
                    place += 1
            into, same = tokens[begin:place], 0
            for entry in range(1, into.size):
                same += into[entry] == into[entry - 1]
            if same:
                return (segment << 16) + _first_twice(into)
    offsets[n_features * segments] = place
    return -1


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
    """Fill `top` (n_features, 64) uint64, zeros, with each feature's strongest entries, as a heap.

    An entry is value bits << 32 | ~token: larger is stronger, and of equals the earlier token. 0 is
    no entry. `base` is the first token of the part, `lowest` the least bits of each bin: what lies
    in lower bins than the 64th strongest is passed by.
    """
    size = top.shape[1]
    for feature in range(top.shape[0]):
        bin_of_last = _floor(histogram[feature], size)
        floor = np.int64(lowest[bin_of_last])
        heap, held = top[feature], 0
        for segment in range(segments):
            begin = base + (segment << 16)
            run = feature * segments + segment
            for entry in range(offsets[run], offsets[run + 1]):
                value = np.int64(values[entry])
                if value < floor:
                    continue
                key = np.uint64((value << 32) | (0xFFFFFFFF - (begin + tokens[entry])))
                if held < size:
                    heap[held] = key
                    held += 1
                    if held == size:
                        for place in range(size // 2 - 1, -1, -1):
                            _sift(heap, place)
                elif key > heap[0]:
                    heap[0] = key
                    _sift(heap, 0)
                    floor = max(floor, np.int64(heap[0] >> np.uint64(32)))
