"""The inner loops of masks, compiled by numba. They release the GIL.

They do without jaxtyping, which numba cannot read, and round as numpy would.
"""

from typing import no_type_check

import numpy as np

from tasks.compute.detections.masks import GRID_PX
from tasks.compute.losses.kernels.arrays import Array
from tasks.compute.losses.kernels.compiling import kernel
from tasks.compute.losses.kernels.masks import decode_row


@no_type_check
@kernel()
def cell_of(pixel: int, ratio: float, before_px: int, first: int, count: int) -> tuple[int, float]:
    """Return the cell before the centre of a pixel, and how much of the next one it has.

    The `count` cells begin with `first`; beyond the centres of the outer ones nothing changes.
    """
    place = ((pixel + 0.5) * ratio + before_px) / GRID_PX - 0.5
    place = min(max(place, np.float64(first)), np.float64(first + count - 1))
    low = int(place)
    return low - first, np.float32(place - low)


@no_type_check
@kernel()
def fill_mask(
    coefficients: Array,
    proto: Array,
    ratio: float,
    before_px: tuple[int, int],
    start: tuple[int, int],
    first: tuple[int, int],
    cells: tuple[int, int],
    out: Array,
) -> None:
    """Fill `out` with where the mask of `coefficients` (k, 1) is positive at pixels from `start`
    on: linear between the centres of so many `cells` from `first` on, first down, then across.

    Pairs are (down, across).
    """
    down, across = cells
    logits = np.empty((down, across), np.float32)
    for row in range(down):
        end = first[1] + across
        decode_row(proto, coefficients, np.int64(0), first[0] + row, first[1], end, logits[row])
    rows, columns = out.shape
    lows, shares = np.empty(columns, np.int64), np.empty(columns, np.float32)
    for column in range(columns):
        low, share = cell_of(start[1] + column, ratio, before_px[1], first[1], across)
        lows[column], shares[column] = low, share
    line = np.empty(across, np.float32)
    for row in range(rows):
        low, share = cell_of(start[0] + row, ratio, before_px[0], first[0], down)
        below = min(low + 1, down - 1)
        for cell in range(across):
            value = logits[low, cell]
            line[cell] = value + (logits[below, cell] - value) * share
        for column in range(columns):
            value, after = line[lows[column]], line[min(lows[column] + 1, across - 1)]
            out[row, column] = value + (after - value) * shares[column] > 0


@no_type_check
@kernel()
def fill_runs(part: Array, start: tuple[int, int], height_px: int, pixels: int, out: Array) -> int:
    """Fill `out` with the run lengths, column by column, of a mask of so many `pixels` that is
    `part` from (row, column) `start` on; return how many runs there are."""
    rows, columns = part.shape
    count, begin, end, inside = 0, 0, 0, False
    for column in range(columns):
        place = (start[1] + column) * height_px + start[0]
        if inside and place > end:
            out[count] = end - begin
            count, begin, inside = count + 1, end, False
        for row in range(rows):
            if part[row, column] != inside:
                out[count] = place + row - begin
                count, begin, inside = count + 1, place + row, not inside
        end = place + rows
    if inside and pixels > end:
        out[count] = end - begin
        count, begin = count + 1, end
    if pixels > begin:
        out[count] = pixels - begin
        count += 1
    return count
