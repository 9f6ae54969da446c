"""The inner loops of the natural scene statistics, compiled by numba. They release the GIL.

Sums may be reassociated where fastmath says so, that they vectorise; products and sums are never
fused: rounding is what makes the half-size image the very pixels that piq sees. The compiled
functions do without jaxtyping, which numba cannot read.
"""

from typing import Any, no_type_check

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]
TAPS = 7
_REACH = TAPS // 2
BLOCK = 32
"""So many float32 sums torch takes at once."""
_ROUNDING = 1e-11
"""Far above what rounding does to a mean, far below any true difference."""


@no_type_check
@njit(cache=True, nogil=True)
def luma_of(rgb: Array, halves: Array) -> Array:
    """Return 0.299 red + 0.587 green + 0.114 blue of every pixel, rounded, as float64.

    What ends in one half is looked up in `halves` (256, 256), by red and green.
    """
    height, width, _ = rgb.shape
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            red, green = rgb[i, j, 0], rgb[i, j, 1]
            total = np.uint32(299) * red + np.uint32(587) * green + np.uint32(114) * rgb[i, j, 2]
            raised = total + np.uint32(500)  # in thousandths
            whole = raised // np.uint32(1000)
            if whole * np.uint32(1000) == raised:
                whole = halves[red, green]
            out[i, j] = whole
    return out


@no_type_check
@njit(cache=True, nogil=True)
def counts_of(levels: Array) -> Array:
    """Return how many of the `levels` (n,), uint8, are 0, 1, ... 255: four lanes, so that equal
    neighbours do not wait for one another."""
    lanes = np.zeros((4, 256), np.int64)
    for at in range(levels.shape[0]):
        lanes[at & 3, levels[at]] += 1
    return lanes.sum(axis=0)


@no_type_check
@njit(cache=True, nogil=True)
def block_means(grey: Array, side: int, block: int) -> Array:
    """Return the means of the blocks of `block` px in every whole tile of `side` px of `grey`,
    uint8: (tiles, side / block, side / block) float32, exact."""
    rows, columns, count = grey.shape[0] // side, grey.shape[1] // side, side // block
    out = np.empty((rows * columns, count, count), np.float32)
    sums = np.empty(columns * count, np.uint32)
    for i in range(rows * count):
        sums[:] = 0
        for row in range(i * block, (i + 1) * block):
            line = grey[row]
            for j in range(columns * count):
                total = np.uint32(0)
                for pixel in range(j * block, (j + 1) * block):
                    total += np.uint32(line[pixel])
                sums[j] += total
        for j in range(columns * count):
            tile = i // count * columns + j // count
            out[tile, i % count, j % count] = np.float32(sums[j]) / np.float32(block * block)
    return out


@no_type_check
@njit(cache=True, nogil=True)
def typical_details(tiles: Array, taps: Array, nothing: float) -> Array:
    """Return, (tiles,), the median magnitude of every other diagonal detail of each of the `tiles`
    (tiles, side, side) under the high-pass filter `taps`; NaN where none is above `nothing`.

    Details that need a pixel beyond the tile are left out.
    """
    side, reach = tiles.shape[1], taps.shape[0]
    count = (side - reach) // 2 + 1
    down, found = np.empty((count, side)), np.empty(count * count)
    out = np.empty(tiles.shape[0])
    for n in range(tiles.shape[0]):
        down[:] = 0.0
        for i in range(count):
            for tap in range(reach):
                for j in range(side):
                    down[i, j] += taps[tap] * tiles[n, 2 * i + tap, j]
        known = 0
        for i in range(count):
            for j in range(count):
                detail = 0.0
                for tap in range(reach):
                    detail += taps[tap] * down[i, 2 * j + tap]
                if abs(detail) > nothing:
                    found[known] = abs(detail)
                    known += 1
        out[n] = np.median(found[:known]) if known else np.nan
    return out


@no_type_check
@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _filter_row(row: Array, kernel: Array, padded: Array, mean: Array, square: Array) -> None:
    width = row.shape[0]
    padded[_REACH : _REACH + width] = row
    k0, k1, k2, k3 = kernel[0], kernel[1], kernel[2], kernel[3]
    for j in range(width):
        a, b, c, d = padded[j], padded[j + 1], padded[j + 2], padded[j + 3]
        e, f, g = padded[j + 4], padded[j + 5], padded[j + 6]
        mean[j] = k3 * d + k2 * (c + e) + k1 * (b + f) + k0 * (a + g)
        square[j] = (
            k3 * (d * d) + k2 * (c * c + e * e) + k1 * (b * b + f * f) + k0 * (a * a + g * g)
        )


@no_type_check
@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _normalise_row(
    row: Array, kernel: Array, means: Array, squares: Array, place: int, out: Array
) -> None:
    # `place` is the ring's row three above; the others follow round the ring.
    p0, p1, p2 = place % 7, (place + 1) % 7, (place + 2) % 7
    p3, p4, p5, p6 = (place + 3) % 7, (place + 4) % 7, (place + 5) % 7, (place + 6) % 7
    k0, k1, k2, k3 = kernel[0], kernel[1], kernel[2], kernel[3]
    m0, m1, m2, m3, m4, m5, m6 = (
        means[p0], means[p1], means[p2], means[p3], means[p4], means[p5], means[p6],
    )  # fmt: skip
    s0, s1, s2, s3, s4, s5, s6 = (
        squares[p0], squares[p1], squares[p2], squares[p3], squares[p4], squares[p5], squares[p6],
    )  # fmt: skip
    for j in range(row.shape[0]):
        mean = k3 * m3[j] + k2 * (m2[j] + m4[j]) + k1 * (m1[j] + m5[j]) + k0 * (m0[j] + m6[j])
        square = k3 * s3[j] + k2 * (s2[j] + s4[j]) + k1 * (s1[j] + s5[j]) + k0 * (s0[j] + s6[j])
        deviation = np.sqrt(abs(square - mean * mean))
        above = row[j] - mean
        out[j] = above / (deviation + 1.0)


@no_type_check
@njit(cache=True, nogil=True)
def normalised(luma: Array, kernel: Array) -> Array:
    """Return (x - mean) / (deviation + 1) under the separable 7-tap `kernel`, zeros outside."""
    height, width = luma.shape
    out = np.empty((height, width))
    means, squares = np.zeros((TAPS, width)), np.zeros((TAPS, width))
    padded = np.zeros(width + 2 * _REACH)
    for i in range(height + _REACH):
        if i < height:
            _filter_row(luma[i], kernel, padded, means[i % TAPS], squares[i % TAPS])
        else:
            means[i % TAPS] = 0.0
            squares[i % TAPS] = 0.0
        at = i - _REACH
        if at >= 0:
            _normalise_row(luma[at], kernel, means, squares, i + 1, out[at])
    return out


@no_type_check
@njit(cache=True, nogil=True)
def at_their_mean(field: Array) -> Array:
    """Return the places (n,), row after row, where `field` is zero but for rounding."""
    values = field.ravel()
    found = np.empty(np.sum(np.abs(values) <= _ROUNDING), np.int64)
    count = 0
    for at in range(values.shape[0]):
        if abs(values[at]) <= _ROUNDING:
            found[count] = at
            count += 1
    return found


@no_type_check
@njit(cache=True, nogil=True)
def patches_round(luma: Array, places: Array) -> tuple[Array, Array]:
    """Return patches (m, 7, 7) of `luma`, zeros outside, and which of them is round each of the
    `places`, (n,). Of patches in a row that are all one level there is one: a plateau has few."""
    width = luma.shape[1]
    patches = np.empty((places.shape[0], TAPS, TAPS))
    which = np.empty(places.shape[0], np.int64)
    count, level = 0, np.nan
    for n in range(places.shape[0]):
        i, j = places[n] // width, places[n] % width
        here = _level_round(luma, i, j)
        if here != level:  # NaN is like nothing
            _copy_round(luma, i, j, patches[count])
            count, level = count + 1, here
        which[n] = count - 1
    return patches[:count], which


@no_type_check
@njit(cache=True, nogil=True)
def _level_round(luma: Array, i: int, j: int) -> float:
    """Return the level of all pixels round a place; NaN where there is none."""
    height, width = luma.shape
    if not (_REACH <= i < height - _REACH and _REACH <= j < width - _REACH):
        return np.nan
    level = luma[i, j]
    for row in range(i - _REACH, i + _REACH + 1):
        for column in range(j - _REACH, j + _REACH + 1):
            if luma[row, column] != level:
                return np.nan
    return level


@no_type_check
@njit(cache=True, nogil=True)
def _copy_round(luma: Array, i: int, j: int, patch: Array) -> None:
    height, width = luma.shape
    top, left = i - _REACH, j - _REACH
    patch[:] = 0.0
    for up in range(max(0, -top), min(TAPS, height - top)):
        for aside in range(max(0, -left), min(TAPS, width - left)):
            patch[up, aside] = luma[top + up, left + aside]


@no_type_check
@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _add_moments(row: Array, other: Array, sums: Array) -> None:
    below, above = 0.0, 0.0
    below_square, above_square, magnitude = 0.0, 0.0, 0.0
    for j in range(row.shape[0]):
        x = row[j] * other[j]
        low, high = min(x, 0.0), max(x, 0.0)
        below += 1.0 if x < 0.0 else 0.0
        above += 1.0 if x > 0.0 else 0.0
        below_square += low * low
        above_square += high * high
        magnitude += high - low
    sums[0] += below
    sums[1] += above
    sums[2] += below_square
    sums[3] += above_square
    sums[4] += magnitude


@no_type_check
@njit(cache=True, nogil=True)
def moments(field: Array) -> Array:
    """Return (5, 5) sums of x and of its products with its left, upper, upper left and lower left
    neighbour, round the edges.

    A row holds: how many are negative, how many positive, their sums of squares, the sum of
    magnitudes.
    """
    height, width = field.shape
    sums = np.zeros((5, 5))
    ones = np.ones(width)
    for i in range(height):
        row, above, below = field[i], field[i - 1], field[(i + 1) % height]
        _add_moments(row, ones, sums[0])
        _add_moments(row, above, sums[2])
        for shift, other in ((1, row), (3, above), (4, below)):
            _add_moments(row[1:], other[:-1], sums[shift])
            _add_moments(row[:1], other[-1:], sums[shift])
    return sums


@no_type_check
@njit(cache=True, nogil=True)
def shrink(
    image: Array, rows: Array, row_weights: Array, columns: Array, column_weights: Array
) -> Array:
    """Return `image` (float32) resampled down its rows, then along its columns, in float32.

    `rows` (new height, taps) says which rows an output row is made of, `row_weights` by what
    weights; the columns likewise. Each sum is taken in the order of its taps, those of what is
    left when 32 at a time are summed in four lanes: in piq's order.
    """
    width = image.shape[1]
    out = np.zeros((rows.shape[0], columns.shape[0]), np.float32)
    line = np.empty(width, np.float32)
    left = rows.shape[0] * width // BLOCK * BLOCK
    left_out = out.size // BLOCK * BLOCK
    lanes = np.empty(max(rows.shape[1], columns.shape[1]), np.float32)
    for i in range(rows.shape[0]):
        line[:] = np.float32(0)
        for tap in range(rows.shape[1]):
            weight, source = row_weights[i, tap], image[rows[i, tap]]
            for j in range(width):
                line[j] += source[j] * weight
        for j in range(max(0, left - i * width), width):
            for tap in range(rows.shape[1]):
                lanes[tap] = image[rows[i, tap], j] * row_weights[i, tap]
            line[j] = in_four_lanes(lanes[: rows.shape[1]])
        for j in range(columns.shape[0]):
            total = np.float32(0)
            for tap in range(columns.shape[1]):
                total += line[columns[j, tap]] * column_weights[j, tap]
            out[i, j] = total
        for j in range(max(0, left_out - i * columns.shape[0]), columns.shape[0]):
            for tap in range(columns.shape[1]):
                lanes[tap] = line[columns[j, tap]] * column_weights[j, tap]
            out[i, j] = in_four_lanes(lanes[: columns.shape[1]])
    return out


@no_type_check
@njit(cache=True, nogil=True)
def in_four_lanes(values: Array) -> Any:
    """Return the sum of `values` (float32): every fourth for itself, then what is left over, then
    the four."""
    a = b = c = d = np.float32(0)
    whole = values.shape[0] // 4 * 4
    for at in range(0, whole, 4):
        a += values[at]
        b += values[at + 1]
        c += values[at + 2]
        d += values[at + 3]
    for at in range(whole, values.shape[0]):
        a += values[at]
    return ((a + b) + c) + d
