"""Zero-shot scores: how well each label fits each image."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64


class BestLabels(NamedTuple):
    """The best labels of each image, best first."""

    labels: Int64[np.ndarray, "images top"]
    """Positions in the vocabulary."""
    confidences: Float32[np.ndarray, "images top"]
    """In [0, 1]: a share of all labels (softmax) or a probability of its own (sigmoid)."""
    cosines: Float32[np.ndarray, "images top"]
    """In [-1, 1]."""


def best_labels(
    images: Float32[np.ndarray, "images dim"],
    texts: Float32[np.ndarray, "labels dim"],
    *,
    scale: float,
    bias: float | None,
    activation: Literal["softmax", "sigmoid"],
    top: int,
) -> BestLabels:
    """Return the `top` labels of each image by cosine, ties in vocabulary order.

    `images` and `texts` have unit rows. Softmax: exp(scale cos) over its sum, as CLIP does (Radford
    et al. 2021, section 3.1.2); sigmoid: 1 / (1 + exp(-(scale cos + bias))), as SigLIP does (Zhai
    et al. 2023, section 3.2).
    """
    from scipy.special import expit, softmax  # 0.2 s, which a plan and a cached run do not need

    cosines = images @ texts.T
    logits = scale * cosines + (bias or 0.0)
    scores = softmax(logits, axis=1) if activation == "softmax" else expit(logits)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
    return BestLabels(
        order,
        np.take_along_axis(scores, order, axis=1).astype(np.float32),
        np.take_along_axis(cosines, order, axis=1),
    )
