"""Nearest neighbours as a judge of features."""

import numpy as np
from jaxtyping import Float32, Int64


def neighbour_accuracy(
    train: Float32[np.ndarray, "known dim"],
    train_labels: Int64[np.ndarray, " known"],
    test: Float32[np.ndarray, "held_out dim"],
    test_labels: Int64[np.ndarray, " held_out"],
    neighbours: int,
) -> float:
    """Return the share, in [0, 1], of `test` rows named rightly by a vote of their nearest `train`
    rows.

    Exact cosine neighbours, by scikit-learn's KNeighborsClassifier.
    """
    from sklearn.neighbors import KNeighborsClassifier

    judge = KNeighborsClassifier(neighbours, metric="cosine", algorithm="brute")
    return float(judge.fit(train, train_labels).score(test, test_labels))
