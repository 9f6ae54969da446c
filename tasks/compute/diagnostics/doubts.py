"""Labels to doubt, by confident learning."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64


class Doubts(NamedTuple):
    """Rows whose label is contradicted, the surest first, and the label that is likelier."""

    rows: Int64[np.ndarray, " doubted"]
    suggested: Int64[np.ndarray, " doubted"]


def doubted(
    probabilities: Float64[np.ndarray, "rows classes"], labels: Int64[np.ndarray, " rows"]
) -> Doubts:
    """Return the rows that a probe, which has not seen them, is confident bear another label.

    It is confident of a class where its probability reaches the mean that the class has among the
    rows that bear its label; of several such classes the likeliest counts. What is the least
    likely of its own label, against the suggested one, comes first. Northcutt, Jiang & Chuang,
    "Confident learning: estimating uncertainty in dataset labels" (2021), 3.1 and 3.3.
    """
    rows, classes = probabilities.shape
    line = np.arange(rows)
    own = probabilities[line, labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    threshold = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= threshold, probabilities, -np.inf)
    suggested = np.asarray(confident.argmax(axis=1), np.int64)
    found = np.flatnonzero(np.isfinite(confident.max(axis=1)) & (suggested != labels))
    margin = own[found] - probabilities[found, suggested[found]]
    order = np.argsort(margin, kind="stable")
    return Doubts(found[order].astype(np.int64), suggested[found][order])
