"""Masks of detections: from prototypes to run lengths at the size of the image, and to the grid
that losses are taken on.

Run lengths are COCO's, uncompressed: column by column, background first.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

Runs = Sequence[int] | NDArray[np.int64]
"""Lengths of runs in pixels, background first."""
GRID_PX = 4
"""Pixels of the square for a cell of the mask grid."""


def grid_masks(
    coefficients: Float32[np.ndarray, "n k"],
    proto: Float32[np.ndarray, "k h w"],
    boxes_px: Float32[np.ndarray, "n 4"],
) -> Bool[np.ndarray, "n h w"]:
    """Return masks on the grid of the prototypes, each cut to its box (n, 4) in the square.

    As training cuts them: a cell belongs to a box when its lower corner does.
    """
    _, height, width = proto.shape
    masks = np.zeros((len(boxes_px), height, width), dtype=np.bool_)
    lowest = np.ceil(boxes_px / GRID_PX).astype(np.int64)
    limits = np.array([width, height] * 2)
    for mask, coefficient, (x1, y1, x2, y2) in zip(
        masks, coefficients, np.clip(lowest, 0, limits), strict=True
    ):
        part = proto[:, y1:y2, x1:x2]
        mask[y1:y2, x1:x2] = _logits(coefficient, part) > 0
    return masks


def image_mask(
    coefficients: Float32[np.ndarray, " k"],
    proto: Float32[np.ndarray, "k h w"],
    box_px: Float32[np.ndarray, " 4"],
    ratio: float,
    offset_px: tuple[int, int],
) -> tuple[Bool[np.ndarray, "rows columns"], tuple[int, int]]:
    """Return the mask inside `box_px`, at the image's size, and the (row, column) it starts at.

    `box_px` is in pixels of the image; the square holds the image scaled by `ratio`, `offset_px`
    (left, top) from its corner. Logits are interpolated bilinearly between the centres of the
    prototypes' cells, and a pixel is in the mask when that at its centre is positive.
    """
    from tasks.compute.detections.kernels import fill_mask

    x1, y1, x2, y2 = box_px.tolist()
    columns, rows = _inside(x1, x2), _inside(y1, y2)
    mask = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    if not mask.size:
        return mask, (rows.start if rows else 0, columns.start if columns else 0)
    left, top = offset_px
    down, across = (
        _cells(pixels, ratio, before, cells)
        for pixels, before, cells in zip((rows, columns), (top, left), proto.shape[1:], strict=True)
    )
    fill_mask(
        np.ascontiguousarray(coefficients)[:, None],
        np.ascontiguousarray(proto),
        ratio,
        (top, left),
        (rows.start, columns.start),
        (down.start, across.start),
        (len(down), len(across)),
        mask,
    )
    return mask, (rows.start, columns.start)


def _logits(
    coefficients: Float32[np.ndarray, " k"], part: Float32[np.ndarray, "k h w"]
) -> Float32[np.ndarray, "h w"]:
    """Return what the prototypes add up to. Not by BLAS: its threads would fight the lanes'."""
    return np.asarray(np.einsum("k,khw->hw", coefficients, part))


def _inside(low_px: float, high_px: float) -> range:
    """Return the pixels whose centres are in [low, high)."""
    return range(ceil(low_px - 0.5), ceil(high_px - 0.5))


def _cells(pixels: range, ratio: float, before_px: int, count: int) -> range:
    """Return the cells, of `count`, between whose centres those of `pixels` lie."""
    first, last = (
        int(min(max(((pixel + 0.5) * ratio + before_px) / GRID_PX - 0.5, 0), count - 1))
        for pixel in (pixels[0], pixels[-1])
    )
    return range(first, min(last + 2, count))


def encode_within(
    part: Bool[np.ndarray, "rows columns"], start: tuple[int, int], height_px: int, width_px: int
) -> Int64[np.ndarray, " runs"]:
    """Return the run lengths of a mask of (height, width) that is `part` from `start` on, and
    background elsewhere."""
    from tasks.compute.detections.kernels import fill_runs

    rows, columns = part.shape
    runs = np.empty(columns * (rows + 1) + 2, np.int64)  # the most there can be
    count = fill_runs(part, start, height_px, height_px * width_px, runs)
    return runs[:count].copy()


def overlap_px(first: Runs, second: Runs) -> int:
    """Return how many pixels two masks of one size share, of their run lengths."""
    edges, other = np.cumsum(first, dtype=np.int64), np.cumsum(second, dtype=np.int64)
    # How many of the second's pixels lie before each of its edges; linear in between.
    before = np.concatenate(([0], np.cumsum(np.where(np.arange(len(second)) % 2, second, 0))))
    covered = np.interp(edges, np.concatenate(([0], other)), before)
    return int(covered[1::2].sum() - covered[0 : len(covered) - len(covered) % 2 : 2].sum())


def dice(first: Runs, second: Runs) -> float:
    """Return Dice's coefficient of two masks, from 0 to 1: twice what they share by what both have.

    Two empty masks are the same: 1.
    """
    areas = int(np.sum(first[1::2]) + np.sum(second[1::2]))
    return 2 * overlap_px(first, second) / areas if areas else 1.0


def sample_runs(
    counts: Runs,
    height_px: int,
    width_px: int,
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Bool[np.ndarray, "rows columns"]:
    """Return the mask of run lengths `counts` at the pixels that hold (y, x) `places`, in pixels of
    the image; outside of it nothing is."""
    rows, columns = (np.floor(axis).astype(np.int64) for axis in places)
    flat = columns[None, :] * height_px + rows[:, None]
    found = np.searchsorted(np.cumsum(counts), flat, side="right") % 2 == 1
    inside = ((rows >= 0) & (rows < height_px))[:, None] & ((columns >= 0) & (columns < width_px))
    return np.asarray(found & inside, dtype=np.bool_)
