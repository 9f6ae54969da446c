"""Sharpness, exposure and noise: the squashed scores, and the raw values they hide."""

from math import nan
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, UInt8

PREVIEW_PX = 512
_TILES = 8
_FLAT_TILE_PX, _BLOCK_PX = 64, 8
_LEVELS = (1, 5, 50, 95, 99)
# Daubechies' second wavelet: the high-pass half of its filter bank.
_DB2_HIGH = np.array(
    [-0.48296291314453416, 0.8365163037378079, -0.2241438680420134, -0.12940952255126037]
)
_GREY = np.array([0.299, 0.587, 0.114])
_NOTHING = 1e-9  # what rounding makes of a detail that is zero is far less
_NORMAL_MAD = 0.6744897501960817  # median of |x| for a standard normal x

Array = np.ndarray[Any, np.dtype[Any]]
Grey = UInt8[np.ndarray, "height width"]


class Sharpness(NamedTuple):
    """Tenengrad's energy T, the mean of gx^2 + gy^2 on grey 0 to 255."""

    score: float
    """tanh(T / 2000), in [0, 1]; nearly every sharp photo is at 1."""
    log10_energy: float
    """log10 T, NaN for T = 0."""
    log10_tile_p95: float
    """log10 of the 95th percentile of T over 8 x 8 tiles: a sharp subject before a soft ground."""


def preview(
    rgb: UInt8[np.ndarray, "height width 3"], side_px: int = PREVIEW_PX
) -> UInt8[np.ndarray, "new_height new_width"]:
    """Return the grey image, its longest side at most `side_px`, shrunk by area means."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = side_px / max(height, width)
    if scale >= 1:
        return grey
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def sharpness(grey: Grey) -> Sharpness:
    """Return Tenengrad's energy of `grey` by Sobel's 3 x 3 filters (Krotkov 1988)."""
    import cv2

    across = cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3).astype(np.int32)
    down = cv2.Sobel(grey, cv2.CV_16S, 0, 1, ksize=3).astype(np.int32)
    energy = across * across + down * down
    mean = float(energy.mean(dtype=np.float64))
    tiles = _tile_means(energy)
    return Sharpness(float(np.tanh(mean / 2000)), _log10(mean), _log10(np.percentile(tiles, 95)))


def _tile_means(energy: Array) -> Array:
    rows = np.array_split(energy, min(_TILES, energy.shape[0]), axis=0)
    return np.array(
        [tile.mean() for row in rows for tile in np.array_split(row, min(_TILES, row.shape[1]), 1)]
    )


def _log10(value: float) -> float:
    return float(np.log10(value)) if value > 0 else nan


def histogram(levels: UInt8[np.ndarray, "..."]) -> Int64[np.ndarray, "256"]:
    """Return how many pixels have each level."""
    from tasks.compute.quality.kernels import counts_of

    return np.asarray(counts_of(levels.reshape(-1)))


def percentiles(counts: Int64[np.ndarray, "256"]) -> Float64[np.ndarray, "5"]:
    """Return the percentiles 1, 5, 50, 95 and 99 in [0, 1], interpolated as numpy does."""
    last = int(counts.sum()) - 1
    places = np.array(_LEVELS) / 100 * last
    lower = np.floor(places)
    total = np.cumsum(counts)
    below = np.searchsorted(total, lower, side="right")
    above = np.searchsorted(total, np.minimum(lower + 1, last), side="right")
    return np.asarray((below + (places - lower) * (above - below)) / 255)


def exposure(grey: Grey) -> float:
    """Return, in [0, 1], how well the levels are used: mid-tones at one half, a wide range, no
    clipping.

    clip(0.5 (1 - 2 |p50 - 0.5|) + 0.5 (p99 - p1)
    - 0.25 [p1 <= 2/255] - 0.25 [p99 >= 253/255], 0, 1)
    """
    p1, _, p50, _, p99 = percentiles(histogram(grey))
    score = 0.5 * (1 - 2 * abs(p50 - 0.5)) + 0.5 * (p99 - p1)
    score -= 0.25 * (p1 <= 2 / 255) + 0.25 * (p99 >= 253 / 255)
    return float(np.clip(score, 0, 1))


def clipped_fractions(counts: Int64[np.ndarray, "256"]) -> tuple[float, float]:
    """Return the fractions of pixels at level 0 and at level 255."""
    total = float(counts.sum())
    return float(counts[0] / total), float(counts[255] / total)


def noise_sigma(grey: Grey) -> float:
    """Return the deviation of Gaussian noise on grey in [0, 1]; NaN where every detail is zero.

    The median of the diagonal details of the db2 wavelet over 0.6745 (Donoho and Johnstone 1994),
    zeros left out, as scikit-image's `estimate_sigma` has it.
    """
    return _sigma_of(grey / 255.0)


def _sigma_of(grey: Array) -> float:
    import pywt

    if grey.min() == grey.max():
        return nan
    down = pywt.dwt(grey, "db2", axis=0)[1]  # PyWavelets decides which details are zero
    details = pywt.dwt(down, "db2", axis=1)[1]
    return _robust_sigma(details[details != 0])


def noise_score(sigma: float) -> float:
    """Return min(sigma / 0.08, 1): higher is noisier."""
    return min(sigma / 0.08, 1.0)


def flat_noise_sigma(rgb: UInt8[np.ndarray, "height width 3"]) -> float:
    """Return the noise at full resolution, on unrounded grey in [0, 1]: the median over flat tiles.

    Flat are the quarter of the 64 px tiles with the least deviation of their 8 px means; tiles that
    are clipped are left out. Those of one colour, such as a painted border's, have no noise to tell
    of and are none of the tiles. NaN where none is left. A texture without flat places reads as
    noise.
    """
    import cv2

    from tasks.compute.quality.kernels import block_means, typical_details

    side = _FLAT_TILE_PX
    if min(rgb.shape[:2]) < side:
        return _sigma_of(_grey(rgb))
    small = block_means(
        cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), side, _BLOCK_PX
    )
    level, unrest = small.mean(axis=(1, 2)), small.std(axis=(1, 2))

    def tile(at: "int | np.intp") -> Array:
        row, column = divmod(at, rgb.shape[1] // side)
        return rgb[side * row : side * (row + 1), side * column : side * (column + 1)]

    tells = np.ones(len(small), bool)
    for at in np.flatnonzero(unrest == 0):
        tells[at] = (tile(at) != tile(at)[0, 0]).any()
    usable = np.flatnonzero((level > 8) & (level < 247) & tells)
    flat = usable[np.argsort(unrest[usable], kind="stable")[: max(1, tells.sum() // 4)]]
    if not len(flat):
        return nan
    chosen = np.stack([tile(at) for at in flat])
    sigmas = typical_details(_grey(chosen), _DB2_HIGH[::-1].copy(), _NOTHING) / _NORMAL_MAD
    known = sigmas[~np.isnan(sigmas)]
    return float(np.median(known)) if len(known) else nan


def _grey(rgb: Array) -> Array:
    """Return grey in [0, 1] as float64: what 8 bits would round away is part of the noise."""
    return np.asarray(rgb @ _GREY / 255)


def _robust_sigma(details: Array) -> float:
    return float(np.median(np.abs(details)) / _NORMAL_MAD) if details.size else nan
