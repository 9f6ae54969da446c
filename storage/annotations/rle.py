"""Masks as run lengths, the way COCO writes them, and polygons as masks.

A mask is read column by column, top to bottom, left to right; `counts` are the lengths of its runs,
of background first (0 where the mask starts with the object). Pure arrays: every floor above
storage may use it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


class Rle(TypedDict):
    """COCO's uncompressed run-length encoding, as its JSON spells it."""

    size: list[int]
    """[height, width] in pixels."""
    counts: list[int]
    """Run lengths in pixels, background first; they sum to height times width."""


def encode(mask: Bools) -> Rle:
    """Return the run lengths of `mask`, bool (height, width)."""
    height_px, width_px = mask.shape
    flat = np.asarray(mask, dtype=np.bool_).ravel(order="F")
    if flat.size == 0:
        return Rle(size=[height_px, width_px], counts=[])
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate(([0] if not flat[0] else [0, 0], changes, [flat.size]))
    return Rle(size=[height_px, width_px], counts=np.diff(starts).tolist())


def decode(rle: Rle) -> Bools:
    """Return the mask, bool (height, width), that `rle` spells.

    Raises ValueError, which says what is wrong, for run lengths that spell none.
    """
    height_px, width_px = rle["size"]
    counts = np.asarray(rle["counts"], dtype=np.int64)
    if counts.size and counts.min() < 0:
        raise ValueError(f"a run of {counts.min()} pixels")
    if (total := int(counts.sum())) != height_px * width_px:
        raise ValueError(
            f"runs of {total} pixels in all for a mask of {height_px} x {width_px} = "
            f"{height_px * width_px}"
        )
    flat = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(width_px, height_px).T)


def area_px(rle: Rle) -> int:
    """Return how many pixels the object has."""
    return sum(rle["counts"][1::2])


def box_of(mask: Bools) -> NDArray[np.float32] | None:
    """Return the tight box of `mask`, float32 (4,) x1 y1 x2 y2 in pixels, None of an empty one.

    Edges, not centres: a single pixel at the origin gives 0, 0, 1, 1.
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not columns.size:
        return None
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def fill(rings: Iterable[NDArray[np.floating[Any]]], height_px: int, width_px: int) -> Bools:
    """Return the mask, bool (height, width), that `rings` enclose together.

    A ring is (n, 2), x and y in pixels, closed by itself. A pixel is inside a ring when its centre
    is, by the even-odd rule; inside the mask when it is inside any ring. What lies outside the
    image is cut off.
    """
    mask = np.zeros((height_px, width_px), dtype=np.bool_)
    part, top, left = _filled(list(rings), height_px, width_px)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def encode_filled(rings: Iterable[NDArray[np.floating[Any]]], height_px: int, width_px: int) -> Rle:
    """Return the run lengths of `fill`, at the cost of the pixels around the rings."""
    part, top, left = _filled(list(rings), height_px, width_px)
    padded = np.zeros((part.shape[1], part.shape[0] + 2), dtype=np.int8)
    padded[:, 1:-1] = part.T
    columns, rows = np.nonzero(np.diff(padded, axis=1))
    edges = (columns + left) * height_px + rows + top
    # A run that ends where a column does goes on where the next column begins with one.
    whole = np.ones(edges.size, dtype=np.bool_)
    goes_on = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    whole[2 * goes_on + 1] = whole[2 * goes_on + 2] = False
    counts = np.diff(edges[whole], prepend=0, append=height_px * width_px).tolist()
    if counts[-1] == 0 and (len(counts) > 1 or height_px * width_px == 0):
        counts.pop()
    return Rle(size=[height_px, width_px], counts=counts)


def _filled(
    rings: Sequence[NDArray[np.floating[Any]]], height_px: int, width_px: int
) -> tuple[Bools, int, int]:
    """Return the mask of the pixels around `rings`, and the row and column that it starts at."""
    points = np.concatenate([np.zeros((0, 2)), *rings])
    if not len(points):
        return np.zeros((0, 0), dtype=np.bool_), 0, 0
    limits = np.array([width_px, height_px])
    left, top = np.clip(np.floor(points.min(axis=0)), 0, limits).astype(np.int64).tolist()
    right, bottom = np.clip(np.ceil(points.max(axis=0)), 0, limits).astype(np.int64).tolist()
    part = np.zeros((bottom - top, right - left), dtype=np.bool_)
    for ring in rings:
        part |= _inside(np.asarray(ring, dtype=np.float64) - (left, top), *part.shape)
    return part, top, left


def _inside(ring: NDArray[np.float64], height_px: int, width_px: int) -> Bools:
    """Return which pixels' centres a horizontal ray reaches over an odd number of edges."""
    ends = np.roll(ring, -1, axis=0)
    is_down = (ring[:, 1] <= ends[:, 1])[:, None]
    low, high = np.where(is_down, ring, ends), np.where(is_down, ends, ring)
    # Rows whose centre is in [low, high): an edge's lower end counts, its upper does not.
    first, last = (
        np.clip(np.ceil(end[:, 1] - 0.5), 0, height_px).astype(np.int64) for end in (low, high)
    )
    edges = np.repeat(np.arange(len(ring)), last - first)
    rows = np.arange(edges.size) - np.repeat(np.cumsum(last - first) - last, last - first)
    slope = (high[edges, 0] - low[edges, 0]) / (high[edges, 1] - low[edges, 1])
    x = low[edges, 0] + (rows + 0.5 - low[edges, 1]) * slope
    columns = np.clip(np.ceil(x - 0.5), 0, width_px).astype(np.int64)
    crossings = np.bincount(
        rows * (width_px + 1) + columns, minlength=height_px * (width_px + 1)
    ).reshape(height_px, width_px + 1)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :width_px] % 2 == 1, dtype=np.bool_)


def decompress(text: str | bytes) -> list[int]:
    """Return the run lengths that COCO's compressed text spells.

    Each is written in groups of five bits, lowest first, as characters from "0" on; bit 32 says
    that more follow, and the last group's sign is that of the number. From the fourth on a number
    is the difference to the run two before it. Raises ValueError for any other text.
    """
    codes = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for code in codes:
        group = code - 48
        if not 0 <= group < 64:
            raise ValueError(f"the character {chr(code)!r} in compressed run lengths")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths that end amid a number")
    return counts


def compress(counts: Sequence[int]) -> str:
    """Return `counts` as COCO's compressed text; the inverse of `decompress`."""
    letters: list[int] = []
    for at, count in enumerate(counts):
        value = count - (counts[at - 2] if at > 2 else 0)
        while True:
            group, value = value & 31, value >> 5
            is_last = value == (-1 if group & 16 else 0)
            letters.append((group if is_last else group | 32) + 48)
            if is_last:
                break
    return bytes(letters).decode("ascii")
