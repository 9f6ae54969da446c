"""Co-activation: how often features are active where others are, compiled."""

from typing import Any, no_type_check

import numpy as np
from numba import njit

Array = np.ndarray[Any, Any]


@no_type_check
@njit(cache=True)
def count_where(offsets: Array, segments: int, tokens: Array, chosen: Array) -> Array:
    """Return, per feature, at how many of the `chosen` tokens (bool, of one part) it is active."""
    n_features = (offsets.shape[0] - 1) // segments
    out = np.zeros(n_features, np.int64)
    for feature in range(n_features):
        total = 0
        for segment in range(segments):
            run, base = feature * segments + segment, segment << 16
            for entry in range(offsets[run], offsets[run + 1]):
                total += chosen[base + tokens[entry]]
        out[feature] = total
    return out
