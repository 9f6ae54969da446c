"""Unit norms."""

import numpy as np
from jaxtyping import Float32

from conf.errors import FeaturemillError


class FeaturesUnusable(FeaturemillError, ValueError):
    """What a model gave cannot be kept: no direction, not finite, or not what is stored."""


def unit_rows(rows: Float32[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
    """Return `rows` divided by their Euclidean lengths; raises ValueError for a row of zeros or
    NaN.

    A feature without direction has no cosine: it must not be kept as if it had.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~(lengths[:, 0] > 0) | ~np.isfinite(lengths[:, 0]))
    if bad.size:
        raise FeaturesUnusable(
            f"{bad.size} of {len(rows)} features have no direction (length 0 or not finite), the "
            f"first is "
            f"row {bad[0]}. Another precision, such as fp32, usually cures it."
        )
    return np.asarray(rows / lengths, dtype=np.float32)
