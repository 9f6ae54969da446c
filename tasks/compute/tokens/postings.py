"""Postings of a part: the entries of its segments, feature by feature, with their statistics."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Shaped, UInt, UInt16, UInt32, UInt64

SEGMENT_TOKENS = 1 << 16
_LARGEST_HALF = 0x477FEFFF  # the float32 below which a value rounds to a finite float16
_LARGEST_FLOAT = 0x7F7FFFFF


class BadEntry(ValueError):
    """An entry cannot be indexed: which token, and why."""

    def __init__(self, fault: int, token: int) -> None:
        super().__init__(fault, token)
        self.fault, self.token = fault, token


@dataclass(frozen=True, eq=False)
class Postings:
    """The active entries of a part, feature by feature, in each by token.

    Feature f has the entries offsets[f * segments] to offsets[(f + 1) * segments].
    """

    segments: int
    offsets: UInt32[np.ndarray, " runs"]
    """(n_features * segments + 1,) uint32: where a feature's entries in a segment begin."""
    tokens: UInt16[np.ndarray, " entries"]
    """(entries,) uint16: the token, counted from the first of its segment."""
    values: Float[np.ndarray, " entries"]
    """(entries,) float16 or float32, all > 0."""
    sums: Float64[np.ndarray, " features"]
    """(n_features,) float64."""
    squares: Float64[np.ndarray, " features"]
    """(n_features,) float64: the sum of squares."""
    histogram: UInt32[np.ndarray, "features bins"]
    """(n_features, 64) uint32, of the bins of `bin_edges`."""
    top: UInt64[np.ndarray, "features best"]
    """(n_features, 64) uint64, value bits << 32 | ~token, best first, 0 for none."""


def build_postings(
    pieces: Iterable[tuple[Int32[np.ndarray, "_ k"], Float32[np.ndarray, "_ k"]]],
    *,
    count: int,
    n_features: int,
    k: int,
    first_token: int,
    values: Literal["f16", "f32"],
) -> Postings:
    """Return the postings of `count` segments of at most 65,536 tokens, given in pieces.

    A piece is (features (n, k) int32, values (n, k) float32); all but the last have a multiple of
    2,048 tokens. Raises BadEntry, and ValueError for more entries than 32 bits count.
    """
    if count * SEGMENT_TOKENS * k >= 1 << 32:
        raise ValueError(
            f"{count} segments of {k} listed features a token are {count * SEGMENT_TOKENS * k:,} "
            f"entries; a part holds fewer than 2^32. Set part_rows to at most {_most(k)}."
        )
    from tasks.compute.tokens.sorting import DUPLICATE, gather

    is_half = values == "f16"
    packed = np.empty(count * SEGMENT_TOKENS * k, np.uint32 if is_half else np.uint64)
    starts, counts, entries = _part(pieces, packed, count, n_features, first_token)
    offsets = np.empty(n_features * count + 1, np.uint32)
    offsets[-1] = entries
    tokens = np.empty(entries, np.uint16)
    bits = np.empty(entries, np.uint16 if is_half else np.uint32)
    by_feature = offsets[:-1].reshape(n_features, count)
    if (twice := gather(packed, starts, counts, by_feature, tokens, bits)) >= 0:
        raise BadEntry(DUPLICATE, first_token + twice)
    del packed
    return _described(count, offsets, tokens, bits, n_features, first_token)


def _most(k: int) -> int:
    return ((1 << 32) - 1) // (SEGMENT_TOKENS * k)


def _part(
    pieces: Iterable[tuple[Int32[np.ndarray, "_ k"], Float32[np.ndarray, "_ k"]]],
    packed: UInt[np.ndarray, " _"],
    segments: int,
    n_features: int,
    first_token: int,
) -> tuple[UInt32[np.ndarray, "blocks _"], UInt32[np.ndarray, "segments features"], int]:
    """Fill `packed`; return where each block's buckets begin, how many entries each feature has in
    each segment, and how many entries there are."""
    from tasks.compute.tokens.sorting import BLOCK_TOKENS, BUCKET_FEATURES, part

    buckets = -(-n_features // BUCKET_FEATURES)
    starts = np.zeros((segments * SEGMENT_TOKENS // BLOCK_TOKENS, buckets + 1), np.uint32)
    counts = np.zeros((segments, n_features), np.uint32)
    is_half = packed.dtype == np.uint32
    limit = _LARGEST_HALF if is_half else _LARGEST_FLOAT
    block, entries = 0, 0
    for features, given in pieces:
        bits = given.view(np.int32)
        entries, fault, token = part(
            features, bits, limit, n_features, is_half, block, starts, counts, entries, packed
        )
        if fault:
            raise BadEntry(fault, first_token + block * BLOCK_TOKENS + token)
        block += -(-len(features) // BLOCK_TOKENS)
    return starts, counts, entries


def _described(
    segments: int,
    offsets: UInt32[np.ndarray, " _"],
    tokens: UInt16[np.ndarray, " n"],
    bits: UInt[np.ndarray, " n"],
    n_features: int,
    first_token: int,
) -> Postings:
    from tasks.compute.tokens.kernels import BINS, TOP, bin_edges, strongest

    sums, squares = np.empty(n_features), np.empty(n_features)
    histogram = np.zeros((n_features, BINS), np.uint32)
    most = np.empty(n_features, bits.dtype)
    describe(offsets[::segments], bits, sums, squares, most, histogram)
    top = np.zeros((n_features, TOP), np.uint64)
    kind = np.float16 if bits.dtype == np.uint16 else np.float32
    with np.errstate(over="ignore"):  # float16 ends where the last bins begin
        lowest = bin_edges()[:-1].astype(kind).view(bits.dtype)
    strongest(offsets, segments, tokens, bits, first_token, lowest, histogram, top)
    top.sort(axis=1)
    values = bits.view(kind)
    return Postings(segments, offsets, tokens, values, sums, squares, histogram, top[:, ::-1])


def describe(
    offsets: Shaped[np.ndarray, " _"],
    bits: UInt[np.ndarray, " _"],
    sums: Float64[np.ndarray, " features"],
    squares: Float64[np.ndarray, " features"],
    most: UInt[np.ndarray, " features"],
    histogram: UInt32[np.ndarray, "features bins"],
) -> None:
    """Fill sum, sum of squares, largest bits and histogram of each feature's values."""
    from tasks.compute.tokens.kernels import half_table, statistics, statistics_f32

    if bits.dtype == np.uint16:
        statistics(offsets, bits, half_table(), sums, squares, most, histogram)
    else:
        statistics_f32(offsets, bits, bits.view(np.float32), sums, squares, most, histogram)
