"""Natural scene statistics: the 36 features of BRISQUE, in the arithmetic of piq in float64.

Mittal, Moorthy and Bovik, "No-Reference Image Quality Assessment in the Spatial Domain", 2012.
"""

from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.special import gammaln

LEAST_SIDE_PX = 16
"""Smaller images have no statistics worth the name."""
FEATURES = 36

Array = np.ndarray[Any, np.dtype[Any]]


def natural_features(rgb: UInt8[np.ndarray, "height width 3"]) -> Float64[np.ndarray, "36"] | None:
    """Return the 36 features of an image of at least LEAST_SIDE_PX a side, None where it is flat.

    18 of luma as it is, 18 of luma at half its size: shape and variance of the normalised pixels,
    then shape, mean, left and right variance of their products with four neighbours.
    """
    from tasks.compute.quality.kernels import luma_of

    luma = luma_of(np.ascontiguousarray(rgb), *_luma_tables())
    scales = (_statistics(luma), _statistics(half_size(luma)))
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


def _statistics(luma: Array) -> Array | None:
    from tasks.compute.quality.kernels import moments, normalised

    sums = moments(normalised(luma, _kernel(), _window()))
    count = float(luma.size)
    if np.isclose(sums[0, 2] + sums[0, 3], 0.0) or not (sums[1:, :4] > 0).all():
        return None
    features = [*_symmetric(sums[0], count)]
    for row in sums[1:]:
        features += _asymmetric(row, count)
    return np.array(features)


def _symmetric(sums: Array, count: float) -> tuple[float, float]:
    """Return shape and variance of a generalised Gaussian (Sharifi and Leon-Garcia 1995)."""
    variance = (sums[2] + sums[3]) / count
    ratio = variance / (sums[4] / count) ** 2
    return _shapes().nearest(1 / ratio), variance


def _asymmetric(sums: Array, count: float) -> tuple[float, float, float, float]:
    """Return shape, mean, left and right variance of an asymmetric generalised Gaussian (Lasmar,
    Stitou and Berthoumieu 2009)."""
    left, right = float(np.sqrt(sums[2] / sums[0])), float(np.sqrt(sums[3] / sums[1]))
    gamma = left / right
    ratio = (sums[4] / count) ** 2 / ((sums[2] + sums[3]) / count)
    ratio *= (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    shape = _shapes().nearest(ratio)
    log_factor = gammaln(2 / shape) - (gammaln(1 / shape) + gammaln(3 / shape)) / 2
    return shape, float((right - left) * np.exp(log_factor)), left**2, right**2


class _Shapes(NamedTuple):
    """Shapes from 0.2 to 10 and their ratio Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)), rising."""

    shapes: Array
    ratios: Array

    def nearest(self, ratio: float) -> float:
        """Return the shape whose ratio is nearest."""
        at = int(np.clip(np.searchsorted(self.ratios, ratio), 1, len(self.ratios) - 1))
        nearer = abs(ratio - self.ratios[at - 1]) <= abs(ratio - self.ratios[at])
        return float(self.shapes[at - 1 if nearer else at])


@cache
def _shapes() -> _Shapes:
    shapes = 0.2 + 0.001 * np.arange(9801)
    log_ratios = 2 * gammaln(2 / shapes) - gammaln(1 / shapes) - gammaln(3 / shapes)
    return _Shapes(shapes, np.exp(log_ratios))


@cache
def _kernel() -> Array:
    """Return the Gaussian of 7 taps and deviation 7/6."""
    weights = np.exp(-((np.arange(7.0) - 3) ** 2) / (2 * (7 / 6) ** 2))
    return np.asarray(weights / weights.sum())


@cache
def _window() -> Array:
    """Return the kernel in two dimensions, to the last bit as piq has it."""
    squares = (np.arange(7.0) - 3) ** 2
    weights = np.exp(-(squares[None] + squares[:, None]) / (2 * (7 / 6) ** 2))
    return np.asarray(weights / weights.sum())


@cache
def _luma_tables() -> tuple[Array, Array]:
    """Return what a level of a channel adds to luma, (3, 256), and what was rounded off it.

    Of level / 255 * 255, which is not the level itself in every last bit, and fused as matrix
    products are: of the many lumas that end in exactly one half, the last bit decides.
    """
    levels = np.arange(256.0) / 255 * 255
    high = np.outer((0.299, 0.587, 0.114), levels)
    exact = [[Fraction(w) * Fraction(v) for v in levels] for w in (0.299, 0.587, 0.114)]
    low = [
        [float(e - Fraction(h)) for e, h in zip(*row, strict=True)]
        for row in zip(exact, high, strict=True)
    ]
    return high, np.array(low)


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
