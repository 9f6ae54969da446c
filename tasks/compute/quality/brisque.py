"""BRISQUE: natural scene statistics to a score, by a support vector regression."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

Array = np.ndarray[Any, np.dtype[Any]]

# The ranges of the official MATLAB release, as piq has them.
# fmt: off
_PIQ_RANGES = (
    (0.338, 10), (0.017204, 0.806612), (0.236, 1.642), (-0.123884, 0.20293), (0.000155, 0.712298),
    (0.001122, 0.470257), (0.244, 1.641), (-0.123586, 0.179083), (0.000152, 0.710456),
    (0.000975, 0.470984), (0.249, 1.555), (-0.135687, 0.100858), (0.000174, 0.684173),
    (0.000913, 0.534174), (0.258, 1.561), (-0.143408, 0.100486), (0.000179, 0.685696),
    (0.000888, 0.536508), (0.471, 3.264), (0.012809, 0.703171), (0.218, 1.046),
    (-0.094876, 0.187459), (1.5e-005, 0.442057), (0.001272, 0.40803), (0.222, 1.042),
    (-0.115772, 0.162604), (1.6e-005, 0.444362), (0.001374, 0.40243), (0.227, 0.996),
    (-0.117188, 0.09832299999999999), (3e-005, 0.531903), (0.001122, 0.369589), (0.228, 0.99),
    (-0.12243, 0.098658), (2.8e-005, 0.530092), (0.001118, 0.370399),
)
# fmt: on


@dataclass(frozen=True, eq=False)
class Regression:
    """An epsilon support vector regression with a radial kernel, and the ranges of its features."""

    coefficients: Array
    """(n,) float64."""
    vectors: Array
    """(n, 36) float64, in scaled features."""
    lowest: Array
    highest: Array
    gamma: float
    rho: float

    @classmethod
    def of_piq(cls, coefficients: Array, vectors: Array) -> "Regression":
        """Return piq's model: (n,) coefficients and (n, 36) support vectors; gamma 0.05, rho
        -153.591."""
        ranges = np.array(_PIQ_RANGES)
        return cls(coefficients, vectors, ranges[:, 0], ranges[:, 1], 0.05, -153.591)


def brisque_scores(
    features: Float64[np.ndarray, "images 36"], model: Regression
) -> Float64[np.ndarray, " images"]:
    """Return the raw score of each image: lower is better, unbounded, about 0 to 100.

    NaN where a feature is NaN.
    """
    from scipy.spatial.distance import cdist  # 0.2 s, which a plan and a cached run do not need

    scaled = 2 * (features - model.lowest) / (model.highest - model.lowest) - 1
    distances = cdist(scaled, model.vectors, "sqeuclidean")
    return np.asarray(np.exp(-model.gamma * distances) @ model.coefficients - model.rho)


def brisque_quality(scores: Float64[np.ndarray, " images"]) -> Float64[np.ndarray, " images"]:
    """Return 1 - clip(score, 0, 100) / 100: in [0, 1], higher is better."""
    return np.asarray(1 - np.clip(scores, 0, 100) / 100)
