"""From tokens with their features to features with their tokens: a sort in two steps, compiled.

A block of 2,048 tokens is first parted into buckets of 64 features, each entry one word (value,
feature in its bucket, token in its block), and features are counted; then each bucket of all blocks
is sorted, in a room that stays in the cache. Both steps write to few places at once. The first
asks early for the lines that it will write, the second for what lies in the blocks to come.

Values travel as the bits of non-negative floats, which sort as the integers that they are. The
compiled functions do without jaxtyping, which numba cannot read.
"""

from typing import Any, no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = np.ndarray[Any, Any]

BLOCK_TOKENS = 1 << 11
"""Tokens that are parted at once: with a float16 and a place in a bucket, one fills 32 bits."""
BUCKET_FEATURES = 1 << 6
OUT_OF_RANGE, NOT_FINITE, TOO_LARGE, DUPLICATE = 1, 2, 3, 4

_F32_INFINITY = 0x7F800000
_SEGMENT_BLOCKS = (1 << 16) // BLOCK_TOKENS
_AHEAD_BLOCKS = 2
_LINE_BYTES = 64


@no_type_check
@intrinsic
def _fetch_early(typing: Any, array: Any, place: Any) -> Any:
    """Have the cache line of array[place] on its way before it is used; it changes no value."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        line = builder.bitcast(builder.gep(data, [given[1]]), byte)
        builder.call(fetch, [line, word(0), word(3), word(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, place), code


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
def _are_all_active(features: Array, bits: Array, limit: int, n_features: int) -> bool:
    """Whether every entry of a block has a known feature and a value that is above 0 and can be
    stored."""
    last, least, most = np.uint32(0), np.int32(0x7FFFFFFF), np.int32(0)
    for entry in range(features.shape[0]):  # three reductions, which are vectorised
        last = max(last, np.uint32(features[entry]))
        least = min(least, bits[entry])
        most = max(most, bits[entry])
    return last < n_features and least > 0 and most <= limit


@no_type_check
@njit(cache=True)
def _count(
    features: Array, bits: Array, limit: int, n_features: int, buckets: Array, counts: Array
) -> tuple[int, int]:
    """Count the active entries of each bucket and of each feature, one entry after the other;
    return (fault, token)."""
    tokens, k = features.shape
    for token in range(tokens):
        active = 0
        for slot in range(k):
            feature, value = features[token, slot], bits[token, slot]
            if np.uint32(feature) >= n_features:
                return OUT_OF_RANGE, token
            if value > 0:
                if value > limit:
                    return (NOT_FINITE if value >= _F32_INFINITY else TOO_LARGE), token
                buckets[np.uint32(feature) >> np.uint32(6)] += np.uint32(1)
                counts[np.uint32(feature)] += np.uint32(1)
                active += 1
            elif value & 0x7FFFFFFF >= _F32_INFINITY:
                return NOT_FINITE, token
        if active < k and _repeats(features, bits, token):
            return DUPLICATE, token
    return 0, 0


@no_type_check
@njit(cache=True)
def _part_block(features: Array, bits: Array, cursors: Array, is_half: bool, out: Array) -> None:
    """Write each active entry of a block to where `cursors` say that its bucket goes on."""
    tokens, k = features.shape
    shift = np.uint64(17)
    for token in range(tokens):
        for slot in range(k):
            value = bits[token, slot]
            if value > 0:
                feature = np.uint32(features[token, slot])
                bucket = feature >> np.uint32(6)
                place = cursors[bucket]
                word = np.uint32(value)
                if is_half:
                    if value >= 0x38800000:
                        word = (word - 0x38000000 + 0xFFF + ((word >> 13) & 1)) >> 13
                    else:
                        word = np.uint32(_half(value))
                low = ((feature & np.uint32(63)) << np.uint32(11)) | np.uint32(token)
                out[place] = (np.uint64(word) << shift) | np.uint64(low)
                cursors[bucket] = place + np.uint32(1)


@no_type_check
@njit(cache=True, nogil=True)
def part(
    features: Array,
    bits: Array,
    limit: int,
    n_features: int,
    is_half: bool,
    first: int,
    starts: Array,
    counts: Array,
    begin: int,
    out: Array,
) -> tuple[int, int, int]:
    """Write the active entries of some tokens to `out` from `begin`, bucket by bucket in a block.

    A word is value << 17 | feature in its bucket << 11 | token in its block. `bits` are float32
    bits as int32, `limit` the largest that can be stored, `first` the number of their first block.
    Fills a row of `starts` (blocks, buckets + 1) for each block: where its buckets begin; counts
    in `counts` (segments, n_features) each feature's entries. Returns (end, fault, token), fault 0
    if none.
    """
    step = _LINE_BYTES // out.itemsize
    for block in range((features.shape[0] + BLOCK_TOKENS - 1) // BLOCK_TOKENS):
        rows = slice(block * BLOCK_TOKENS, (block + 1) * BLOCK_TOKENS)
        listed, values = features[rows], bits[rows]
        cursors = np.zeros(starts.shape[1] - 1, np.uint32)
        mine = counts[(first + block) // _SEGMENT_BLOCKS]
        flat = listed.reshape(-1)
        if _are_all_active(flat, values.reshape(-1), limit, n_features):
            for line in range(0, flat.shape[0], step):
                _fetch_early(out, begin + line)  # of this block, whose bytes come in no order
                for entry in range(line, min(line + step, flat.shape[0])):
                    feature = np.uint32(flat[entry])
                    cursors[feature >> np.uint32(6)] += np.uint32(1)
                    mine[feature] += np.uint32(1)
        else:
            fault, token = _count(listed, values, limit, n_features, cursors, mine)
            if fault:
                return begin, fault, block * BLOCK_TOKENS + token
        for bucket in range(cursors.shape[0]):
            count = cursors[bucket]
            starts[first + block, bucket] = cursors[bucket] = begin
            begin += count
        starts[first + block, cursors.shape[0]] = begin
        _part_block(listed, values, cursors, is_half, out)
    return begin, 0, 0


@no_type_check
@njit(cache=True)
def _sort_bucket(packed: Array, starts: Array, bucket: int, cursors: Array, words: Array) -> None:
    """Write each entry of a bucket to where `cursors` say that its feature goes on, as value << 16
    | token in its segment."""
    step = _LINE_BYTES // packed.itemsize
    for block in range(starts.shape[0]):
        ahead = block + _AHEAD_BLOCKS
        if ahead < starts.shape[0]:  # runs too short for the processor to see where it goes on
            begin, end = np.int64(starts[ahead, bucket]), np.int64(starts[ahead, bucket + 1])
            for entry in range(begin, end, step):
                _fetch_early(packed, entry)
        base = np.uint64(block % _SEGMENT_BLOCKS * BLOCK_TOKENS)
        for entry in range(starts[block, bucket], starts[block, bucket + 1]):
            word = np.uint64(packed[entry])
            feature = (word >> np.uint64(11)) & np.uint64(63)
            goes = cursors[feature]
            token = base + (word & np.uint64(2047))
            words[goes] = (word >> np.uint64(17) << np.uint64(16)) | token
            cursors[feature] = goes + np.uint64(1)


@no_type_check
@njit(cache=True)
def _split(words: Array, tokens: Array, values: Array) -> bool:
    """Fill `tokens` and `values` from `words`; return whether a token follows its equal."""
    for entry in range(words.shape[0]):
        word = words[entry]
        tokens[entry] = word
        values[entry] = word >> np.uint32(16)
    same = 0
    for entry in range(1, words.shape[0]):  # apart: both are vectorised
        same += tokens[entry] == tokens[entry - 1]
    return same > 0


@no_type_check
@njit(cache=True)
def _twice(tokens: Array, starts: Array, begin: int, end: int) -> int:
    """Return the first token that a feature has twice in a segment, or -1.

    `starts` (features, segments) minus `begin` are where their entries begin in `tokens`; the last
    end at `end`.
    """
    flat = starts.reshape(-1)
    for run in range(flat.shape[0]):
        stop = np.int64(flat[run + 1]) - begin if run + 1 < flat.shape[0] else end
        for entry in range(np.int64(flat[run]) - begin + 1, stop):
            if tokens[entry] == tokens[entry - 1]:
                return (run % starts.shape[1] << 16) + np.int64(tokens[entry])
    return -1  # two runs that meet in the same offset


@no_type_check
@njit(cache=True, nogil=True)
def gather(
    packed: Array,
    starts: Array,
    counts: Array,
    first: int,
    stop: int,
    begin: int,
    offsets: Array,
    words: Array,
    tokens: Array,
    values: Array,
) -> int:
    """Sort the buckets from `first` to `stop` of what `part` wrote by feature, in a feature by
    token; return -1.

    `begin` entries lie before them. Fills their rows of `offsets` (n_features, segments), and from
    their beginning `tokens` (offset inside the segment) and `values` (bits); `words` has room for
    one bucket. Where a token lists a feature twice, that token is returned.
    """
    place = begin
    for bucket in range(first, stop):
        mine = offsets[bucket * BUCKET_FEATURES : (bucket + 1) * BUCKET_FEATURES]
        cursors, at = np.zeros(BUCKET_FEATURES, np.uint64), place
        for feature in range(mine.shape[0]):
            cursors[feature] = place - at
            for segment in range(mine.shape[1]):
                mine[feature, segment] = place
                place += np.int64(counts[segment, bucket * BUCKET_FEATURES + feature])
        _sort_bucket(packed, starts, bucket, cursors, words)
        span = slice(at - begin, place - begin)
        if _split(words[: place - at], tokens[span], values[span]):
            token = _twice(tokens[span], mine, at, place - at)
            if token >= 0:
                return token
    return -1
