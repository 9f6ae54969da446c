"""Associations of activations with a number that each review has, errors clustered by review.

The model is least squares over tokens, activation = a + b * number of the token's review, 0 where a
feature is not active. Tokens of a review are no independent witnesses: the error of b is the
sandwich over reviews (Liang and Zeger 1986) with the small-sample factor G / (G - 1) * (N - 1) /
(N - 2). Sums over reviews without the feature are in closed form, so that a feature costs its
postings.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float64, Int32, Int64
from numba import njit

Array = np.ndarray[Any, Any]


@no_type_check
@njit(cache=True)
def _sums(reviews: Array, values: Array, number: Array, lengths: Array, held: Array) -> Array:
    """Return reviews, sum Y, sum xY, sum x2Y2, sum x2Yn, sum x3Yn over the reviews of `values`.

    `number` is x, centred, NaN where a review has none; `held` are zeros and stay so.
    """
    out = np.zeros(6)
    for entry in range(reviews.shape[0]):
        held[reviews[entry]] += values[entry]
    for entry in range(reviews.shape[0]):
        review = reviews[entry]
        total = held[review]
        held[review] = 0.0
        x = number[review]
        if total == 0.0 or np.isnan(x):
            continue
        out[0] += 1
        out[1] += total
        out[2] += x * total
        out[3] += x * x * total * total
        out[4] += x * x * total * lengths[review]
        out[5] += x * x * x * total * lengths[review]
    return out


@dataclass(frozen=True, eq=False)
class Association:
    """A feature's tie to a number."""

    reviews: int
    """In how many reviews, of those that have the number, the feature is active."""
    effect: float
    """Change of its mean activation for 1 more of the number; NaN when the number never varies."""
    error: float


class Regression:
    """What all features share: the number and the length of each review."""

    def __init__(
        self, number: Float64[np.ndarray, " reviews"], lengths: Int64[np.ndarray, " reviews"]
    ) -> None:
        """Take each review's number, NaN for none, and its tokens."""
        known = ~np.isnan(number) & (lengths > 0)
        self._lengths = lengths.astype(np.float64)
        n, x = self._lengths[known], number[known]
        self.reviews, self.tokens = int(known.sum()), float(n.sum())
        centre = (n * x).sum() / self.tokens if self.tokens else 0.0
        self._number = np.where(known, number - centre, np.nan)
        x = x - centre
        self._squares = float((n * x**2).sum())
        self._all = [float((x**power * n**2).sum()) for power in (2, 3, 4)]
        self._held = np.zeros(len(number))

    def of(
        self, reviews: Int32[np.ndarray, " entries"], values: Float64[np.ndarray, " entries"]
    ) -> Association:
        """Return the association of a feature with these active values in these reviews."""
        found = _sums(reviews, values, self._number, self._lengths, self._held)
        touched, total, xy, squares, crossed, cubed = found.tolist()
        if self._squares <= 0 or self.reviews < 3:
            return Association(int(touched), np.nan, np.nan)
        effect, mean = xy / self._squares, total / self.tokens
        second, third, fourth = self._all
        meat = squares - 2 * (mean * crossed + effect * cubed)
        meat += mean**2 * second + 2 * mean * effect * third + effect**2 * fourth
        factor = self.reviews / (self.reviews - 1) * (self.tokens - 1) / (self.tokens - 2)
        error = np.sqrt(max(0.0, meat) * factor) / self._squares
        return Association(int(touched), effect, float(error))


def group_effects(
    sums: Float64[np.ndarray, " reviews"],
    lengths: Int64[np.ndarray, " reviews"],
    groups: Int64[np.ndarray, " reviews"],
) -> Float64[np.ndarray, "groups 5"]:
    """Return, per group of reviews: reviews, mean activation, mean of the rest, their difference
    and its error, clustered by review as in `Regression`.

    `sums` are each review's summed activation, `lengths` its tokens, `groups` count from 0.
    """
    n = lengths.astype(np.float64)
    by_group = [np.bincount(groups, weights=w) for w in (n, sums, sums**2, sums * n, n**2)]
    inside = np.stack([np.bincount(groups[n > 0], minlength=len(by_group[0])), *by_group])
    outside = np.array([(n > 0).sum(), *(rows.sum() for rows in by_group)])[:, None] - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, rest = inside[2] / inside[1], outside[2] / outside[1]
        spread = _residuals(inside, mean) / inside[1] ** 2
        spread += _residuals(outside, rest) / outside[1] ** 2
        reviews, tokens = inside[0] + outside[0], inside[1] + outside[1]
        factor = reviews / (reviews - 1) * (tokens - 1) / (tokens - 2)
        error = np.sqrt(spread * factor)
    return np.stack([inside[0], mean, rest, mean - rest, error], axis=1)


def _residuals(
    moments: Float64[np.ndarray, "6 groups"], mean: Float64[np.ndarray, " groups"]
) -> Float64[np.ndarray, " groups"]:
    """Return the sum over reviews of (Y - n * mean)^2."""
    residuals: Array = np.maximum(moments[3] - 2 * mean * moments[4] + mean**2 * moments[5], 0)
    return residuals
