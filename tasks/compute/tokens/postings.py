"""Postings of a part: the entries of its segments, feature by feature, with their statistics."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64, Shaped, UInt, UInt16, UInt32, UInt64

SEGMENT_TOKENS = 1 << 16
_LARGEST_HALF = 0x477FEFFF  # the float32 below which a value rounds to a finite float16
_LARGEST_FLOAT = 0x7F7FFFFF
_ROOM_ENTRIES = 1 << 19  # what is sorted at once, so that it is still in the cache when it is used

_rooms = threading.local()
"""What a thread keeps from part to part, until it ends."""

Pieces = Iterable[tuple[Int32[np.ndarray, "_ k"], Float32[np.ndarray, "_ k"]]]
Keep = Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], object]
"""Takes tokens (n,) uint16 and values (n,) float16 or float32, which are overwritten afterwards."""


class BadEntry(ValueError):
    """An entry cannot be indexed: which token, and why."""

    def __init__(self, fault: int, token: int) -> None:
        super().__init__(fault, token)
        self.fault, self.token = fault, token


@dataclass(frozen=True, eq=False)
class Parted:
    """The active entries of a part, in blocks of tokens, in each by buckets of features."""

    first_token: int
    packed: UInt[np.ndarray, " _"]
    starts: UInt32[np.ndarray, "blocks _"]
    """Where each block's buckets begin in `packed`, and where its last one ends."""
    counts: UInt32[np.ndarray, "segments features"]
    """How many entries each feature has in each segment."""
    entries: int

    @property
    def kind(self) -> np.dtype[Any]:
        """What values are kept as."""
        return np.dtype(np.float16 if self.packed.dtype == np.uint32 else np.float32)


@dataclass(frozen=True, eq=False)
class Summary:
    """Where the entries of each feature lie in a part, and their statistics.

    Feature f has the entries offsets[f * segments] to offsets[(f + 1) * segments].
    """

    segments: int
    offsets: UInt32[np.ndarray, " runs"]
    """(n_features * segments + 1,) uint32: where a feature's entries in a segment begin."""
    sums: Float64[np.ndarray, " features"]
    """(n_features,) float64."""
    squares: Float64[np.ndarray, " features"]
    """(n_features,) float64: the sum of squares."""
    histogram: UInt32[np.ndarray, "features bins"]
    """(n_features, 64) uint32, of the bins of `bin_edges`."""
    top: UInt64[np.ndarray, "features best"]
    """(n_features, 64) uint64, value bits << 32 | ~token, best first, 0 for none."""


def part_entries(
    pieces: Pieces,
    *,
    count: int,
    n_features: int,
    k: int,
    first_token: int,
    values: Literal["f16", "f32"],
) -> Parted:
    """Return the active entries of `count` segments of at most 65,536 tokens, given in pieces.

    A piece is (features (n, k) int32, values (n, k) float32); all but the last have a multiple of
    2,048 tokens. What is returned is overwritten by the next call in this thread. Raises BadEntry,
    and ValueError for more entries than 32 bits count.
    """
    if count * SEGMENT_TOKENS * k >= 1 << 32:
        raise ValueError(
            f"{count} segments of {k} listed features a token are {count * SEGMENT_TOKENS * k:,} "
            f"entries; a part holds fewer than 2^32. Set part_rows to at most {_most(k)}."
        )
    from tasks.compute.tokens.sorting import BLOCK_TOKENS, BUCKET_FEATURES, part

    is_half = values == "f16"
    packed = _room(count * SEGMENT_TOKENS * k, np.dtype(np.uint32 if is_half else np.uint64))
    buckets = -(-n_features // BUCKET_FEATURES)
    starts = np.zeros((count * SEGMENT_TOKENS // BLOCK_TOKENS, buckets + 1), np.uint32)
    counts = np.zeros((count, n_features), np.uint32)
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
    return Parted(first_token, packed, starts, counts, entries)


def _room(words: int, kind: np.dtype[Any]) -> UInt[np.ndarray, " _"]:
    """Return room for so many words, the same again for the next part of this thread: fresh memory
    would be zeroed first, which takes a tenth of the whole work."""
    held: np.ndarray[Any, Any] | None = getattr(_rooms, "packed", None)
    if held is None or held.dtype != kind or len(held) < words:
        held = _rooms.packed = None  # freed before the larger one is taken
        held = _rooms.packed = np.empty(words, kind)
    return held[:words]


def _most(k: int) -> int:
    return ((1 << 32) - 1) // (SEGMENT_TOKENS * k)


def gather_entries(parted: Parted, keep: Keep) -> Summary:
    """Give all entries to `keep`, feature by feature, in each by token; return their summary.

    Raises BadEntry where a token lists a feature twice.
    """
    from tasks.compute.tokens.kernels import bin_edges

    segments, n_features = parted.counts.shape
    found = _blank(segments, n_features)
    with np.errstate(over="ignore"):  # float16 ends where the last bins begin
        lowest = bin_edges()[:-1].astype(parted.kind)
    for features, tokens, values in _sorted(parted, found.offsets):
        _summarise(found, features, tokens, values, parted.first_token, lowest)
        keep(tokens, values)
    return found


def _blank(segments: int, n_features: int) -> Summary:
    from tasks.compute.tokens.kernels import BINS, TOP

    return Summary(
        segments,
        np.zeros(n_features * segments + 1, np.uint32),
        np.zeros(n_features),
        np.zeros(n_features),
        np.zeros((n_features, BINS), np.uint32),
        np.zeros((n_features, TOP), np.uint64),
    )


def _sorted(
    parted: Parted, offsets: UInt32[np.ndarray, " runs"]
) -> Iterator[tuple[slice, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Yield features with their tokens and values, in one room again and again; fill `offsets`."""
    from tasks.compute.tokens.sorting import BUCKET_FEATURES, DUPLICATE, gather

    segments, n_features = parted.counts.shape
    runs = offsets[:-1].reshape(n_features, segments)
    listed = parted.counts.sum(axis=0, dtype=np.int64)
    sizes = np.add.reduceat(listed, np.arange(0, n_features, BUCKET_FEATURES))
    words = np.empty(sizes.max(), parted.packed.dtype)
    room = max(_ROOM_ENTRIES, len(words))
    tokens, values = np.empty(room, np.uint16), np.empty(room, parted.kind)
    bits, begin = values.view(f"u{values.itemsize}"), 0
    for first, stop in _groups(sizes):
        given = (parted.packed, parted.starts, parted.counts, first, stop, begin)
        twice = gather(*given, runs, words, tokens, bits)
        if twice >= 0:
            raise BadEntry(DUPLICATE, parted.first_token + twice)
        features = slice(first * BUCKET_FEATURES, min(stop * BUCKET_FEATURES, n_features))
        count = int(sizes[first:stop].sum())
        begin += count
        offsets[features.stop * segments] = begin
        yield features, tokens[:count], values[:count]


def _groups(sizes: Int64[np.ndarray, " buckets"]) -> Iterator[tuple[int, int]]:
    """Yield the first of some buckets that fit the room together, or of one, and the next ones."""
    ends, first = np.cumsum(sizes), 0
    while first < len(sizes):
        most = ends[first] - sizes[first] + _ROOM_ENTRIES
        stop = max(first + 1, int(np.searchsorted(ends, most, side="right")))
        yield first, stop
        first = stop


def _summarise(
    found: Summary,
    features: slice,
    tokens: UInt16[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    first_token: int,
    lowest: Float[np.ndarray, " bins"],
) -> None:
    """Fill in the statistics of some features; `lowest` is the least value of each bin."""
    from tasks.compute.tokens.kernels import strongest

    segments, unsigned = found.segments, f"u{values.itemsize}"
    runs = found.offsets[features.start * segments : features.stop * segments + 1]
    runs = runs - runs[0]
    sums, squares = found.sums[features], found.squares[features]
    histogram, top = found.histogram[features], found.top[features]
    bits, most = values.view(unsigned), np.empty(len(sums), unsigned)
    describe(runs[::segments], bits, sums, squares, most, histogram)
    least = lowest.view(unsigned)
    strongest(runs, segments, tokens, bits, first_token, least, histogram, most, top)
    np.invert(top, out=top)  # what sorts descending
    top.sort(axis=1)
    np.invert(top, out=top)


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
