"""Shares and tests: intervals and false-discovery control."""

import numpy as np
from jaxtyping import Float64, Int

_NORMAL_97_5 = 1.959963984540054


def wilson_interval(
    hits: Int[np.ndarray, " n"], trials: int
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return the 95 % interval, in [0, 1], of each share hits / trials (Wilson 1927)."""
    total, squared = max(1, trials), _NORMAL_97_5**2
    share = hits / total
    middle = (share + squared / (2 * total)) / (1 + squared / total)
    half = _NORMAL_97_5 * np.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    half /= 1 + squared / total
    low, high = np.maximum(middle - half, 0), np.minimum(middle + half, 1)
    return np.where(hits == 0, 0.0, low), np.where(hits == total, 1.0, high)


def false_discovery(p_values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return the q-value of each p-value, in [0, 1] (Benjamini and Hochberg 1995).

    NaN, a test that could not be made, stays NaN and is not counted.
    """
    q_values = np.full(len(p_values), np.nan)
    made = np.flatnonzero(~np.isnan(p_values))
    order = made[np.argsort(p_values[made], kind="stable")]
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    q_values[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q_values
