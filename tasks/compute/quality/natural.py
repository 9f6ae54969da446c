"""Natural scene statistics: the 36 features of BRISQUE, in the arithmetic of piq in float64.

Mittal, Moorthy and Bovik, "No-Reference Image Quality Assessment in the Spatial Domain", 2012.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

LEAST_SIDE_PX = 16
"""Smaller images have no statistics worth the name."""
FEATURES = 36
_PATCHES = 1 << 14
"""So many are gathered at a time: 6 MiB."""

Array = np.ndarray[Any, np.dtype[Any]]
Means = Callable[[Array], Array]
"""Of (n, 7, 7) pixels under `window()`, (n,)."""


@dataclass(frozen=True, eq=False)
class Rounding:
    """How the library that is to be met rounds the sums whose last bit is counted."""

    lumas: Array
    """(256, 256) uint8, by the levels of red and green: luma with the one blue with which 0.299
    red + 0.587 green + 0.114 blue ends in one half."""
    means: Means
    """Of an image whose channels are innermost in memory, as luma of a colour image."""
    planar_means: Means
    """Of an image in planes, as luma at half its size. A library adds these in another order."""


def natural_features(
    rgb: UInt8[np.ndarray, "height width 3"], rounding: Rounding
) -> Float64[np.ndarray, "36"] | None:
    """Return the 36 features of an image of at least LEAST_SIDE_PX a side, None where it is flat.

    18 of luma as it is, 18 of luma at half its size: shape and variance of the normalised pixels,
    then shape, mean, left and right variance of their products with four neighbours.

    Where a pixel equals the mean of those round it, as in a clipped sky, the sign of what rounding
    leaves is counted: there, and only there, the means of `rounding` are asked.
    """
    from tasks.compute.quality.kernels import luma_of

    luma = luma_of(np.ascontiguousarray(rgb), rounding.lumas)
    scales = (
        _statistics(luma, rounding.means),
        _statistics(half_size(luma), rounding.planar_means),
    )
    if any(scale is None for scale in scales):
        return None
    return np.concatenate([scale for scale in scales if scale is not None])


def half_size(luma: Float64[np.ndarray, "height width"]) -> Float64[np.ndarray, "half_h half_w"]:
    """Return `luma` at half its size, rounded down: MATLAB's antialiased bicubic imresize.

    Computed in float32, as piq does whatever it is given.
    """
    from tasks.compute.quality.kernels import shrink

    height, width = luma.shape
    small = shrink(luma.astype(np.float32), *_taps(height), *_taps(width))
    return np.asarray(small, dtype=np.float64)


def _statistics(luma: Array, means: Means) -> Array | None:
    from tasks.compute.quality.kernels import moments

    sums = moments(_normalised(luma, means))
    count = float(luma.size)
    if np.isclose(sums[0, 2] + sums[0, 3], 0.0) or not (sums[1:, :4] > 0).all():
        return None
    features = [*_symmetric(sums[0], count)]
    for row in sums[1:]:
        features += _asymmetric(row, count)
    return np.array(features)


def _normalised(luma: Array, means: Means) -> Array:
    from tasks.compute.quality.kernels import at_their_mean, normalised, patches_round

    field: Array = normalised(luma, _kernel())
    pixels, values, places = luma.reshape(-1), field.reshape(-1), at_their_mean(field)
    for start in range(0, len(places), _PATCHES):
        at = places[start : start + _PATCHES]
        patches, which = patches_round(luma, at)
        values[at] = pixels[at] - means(patches)[which]
    return field


def _symmetric(sums: Array, count: float) -> tuple[float, float]:
    """Return shape and variance of a generalised Gaussian (Sharifi and Leon-Garcia 1995)."""
    variance = (sums[2] + sums[3]) / count
    ratio = variance / (sums[4] / count) ** 2
    return _shapes().nearest(1 / ratio)[0], variance


def _asymmetric(sums: Array, count: float) -> tuple[float, float, float, float]:
    """Return shape, mean, left and right variance of an asymmetric generalised Gaussian (Lasmar,
    Stitou and Berthoumieu 2009)."""
    left, right = float(np.sqrt(sums[2] / sums[0])), float(np.sqrt(sums[3] / sums[1]))
    gamma = left / right
    ratio = (sums[4] / count) ** 2 / ((sums[2] + sums[3]) / count)
    ratio *= (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    shape, factor = _shapes().nearest(ratio)
    return shape, (right - left) * factor, left**2, right**2


class _Shapes(NamedTuple):
    """Shapes a from 0.2 to 10, rising."""

    shapes: Array
    ratios: Array
    """Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)), rising."""
    factors: Array
    """Gamma(2/a) / sqrt(Gamma(1/a) Gamma(3/a))."""

    def nearest(self, ratio: float) -> tuple[float, float]:
        """Return the shape whose ratio is nearest, and its factor."""
        at = int(np.clip(np.searchsorted(self.ratios, ratio), 1, len(self.ratios) - 1))
        at -= abs(ratio - self.ratios[at - 1]) <= abs(ratio - self.ratios[at])
        return float(self.shapes[at]), float(self.factors[at])


@cache
def _shapes() -> _Shapes:
    from scipy.special import gammaln  # 0.2 s, which a plan and a cached run do not need

    shapes = 0.2 + 0.001 * np.arange(9801)
    one, two, three = (gammaln(of / shapes) for of in (1, 2, 3))
    return _Shapes(shapes, np.exp(2 * two - one - three), np.exp(two - (one + three) / 2))


@cache
def _kernel() -> Array:
    """Return the Gaussian of 7 taps and deviation 7/6."""
    weights = np.exp(-((np.arange(7.0) - 3) ** 2) / (2 * (7 / 6) ** 2))
    return np.asarray(weights / weights.sum())


@cache
def window() -> Float64[np.ndarray, "7 7"]:
    """Return the Gaussian in two dimensions, to the last bit as piq has it."""
    squares = (np.arange(7.0) - 3) ** 2
    weights = np.exp(-(squares[None] + squares[:, None]) / (2 * (7 / 6) ** 2))
    return np.asarray(weights / weights.sum())


def _taps(size: int) -> tuple[Array, Array]:
    """Return, for each of `size` // 2 outputs, which inputs it is made of and by what float32
    weights: Keys' bicubic (a = -0.5) stretched over two pixels, edges mirrored."""
    new, scale = size // 2, (size // 2) / size
    taps = ceil(4 / scale) + 2
    centre = (np.arange(new, dtype=np.float32) + np.float32(0.5)) / np.float32(scale)
    centre -= np.float32(0.5)
    base = np.floor(centre) - np.float32(taps // 2 - 1)
    distances = (centre - base)[:, None] - np.arange(taps, dtype=np.float32)
    weights = _cubic(distances * np.float32(scale))
    weights /= _tap_sums(weights)[:, None]
    places = base.astype(np.int64)[:, None] + np.arange(taps)
    places = np.where(places < 0, -places - 1, places)
    return np.where(places >= size, 2 * size - 1 - places, places), weights


def _tap_sums(weights: Array) -> Array:
    """Return the float32 sum of each row, added up in the order in which torch adds."""
    from tasks.compute.quality.kernels import BLOCK, in_four_lanes

    sums = np.cumsum(weights, axis=1, dtype=np.float32)[:, -1]  # one after the other
    for row in range(len(weights) // BLOCK * BLOCK, len(weights)):
        sums[row] = in_four_lanes(weights[row])
    return np.asarray(sums)


def _cubic(x: Array) -> Array:
    one, a = np.float32(1), np.float32(-0.5)
    x1 = np.abs(x)
    x2 = x1 * x1
    x3 = x1 * x2
    near = (a + 2) * x3 - (a + 3) * x2 + one
    far = a * x3 - 5 * a * x2 + 8 * a * x1 - 4 * a
    outer = far * ((x1 > 1) & (x1 <= 2))
    return np.asarray(near * (x1 <= 1) + outer, dtype=np.float32)
