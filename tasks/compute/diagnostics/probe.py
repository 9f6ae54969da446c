"""A linear probe: multinomial logistic regression, small enough to be run at every map."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

_ITERATIONS = 200
PENALTIES = (10_000.0, 1000.0, 100.0, 10.0, 1.0)


class Probe(NamedTuple):
    """Log odds are (x - center) / spread @ weights + intercept."""

    center: Float64[np.ndarray, " dim"]
    spread: Float64[np.ndarray, " dim"]
    weights: Float64[np.ndarray, "dim classes"]
    intercept: Float64[np.ndarray, " classes"]

    def probabilities(
        self, rows: Float32[np.ndarray, "rows dim"]
    ) -> Float64[np.ndarray, "rows classes"]:
        """Return the probability of each class, each row summing to 1."""
        from scipy.special import softmax

        scaled = (rows - self.center) / self.spread
        return np.asarray(softmax(scaled @ self.weights + self.intercept, axis=1))


def fit_probe(
    rows: Float32[np.ndarray, "rows dim"],
    classes: Int64[np.ndarray, " rows"],
    count: int,
    *,
    penalty: float = 1.0,
) -> Probe:
    """Return the probe of `count` classes on standardised rows, by L-BFGS.

    It minimises the summed cross entropy plus `penalty` / 2 times the squared weights, as
    scikit-learn's LogisticRegression(C=1 / penalty) does.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    center = rows.mean(axis=0, dtype=np.float64)
    spread = rows.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = (rows - center) / spread
    truth = np.eye(count)[classes]

    def loss(flat: Float64[np.ndarray, " parameters"]) -> tuple[float, Float64[np.ndarray, " p"]]:
        table = flat.reshape(-1, count)
        logits = log_softmax(scaled @ table[:-1] + table[-1], axis=1)
        wrong = np.exp(logits) - truth
        value = -float((truth * logits).sum()) + penalty / 2 * float((table[:-1] ** 2).sum())
        slope = np.vstack([scaled.T @ wrong + penalty * table[:-1], wrong.sum(axis=0)])
        return value / len(rows), slope.ravel() / len(rows)

    start = np.zeros((rows.shape[1] + 1) * count)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    table = found.x.reshape(-1, count)
    return Probe(center, spread, table[:-1], table[-1])


def choose_penalty(
    rows: Float32[np.ndarray, "rows dim"],
    classes: Int64[np.ndarray, " rows"],
    count: int,
    *,
    folds: int,
    seed: int,
) -> float:
    """Return which of PENALTIES foretells the first fold best, by its cross entropy.

    They are tried from the strongest on, until one is worse than the one before: weaker ones take
    longer, and are surer of themselves than few rows allow.
    """
    held = fold_of(classes, folds, seed) == 0
    best, least = PENALTIES[0], np.inf
    for penalty in PENALTIES:
        probe = fit_probe(rows[~held], classes[~held], count, penalty=penalty)
        chances = probe.probabilities(rows[held])[np.arange(held.sum()), classes[held]]
        loss = -float(np.log(np.maximum(chances, 1e-300)).mean())
        if loss >= least:
            break
        best, least = penalty, loss
    return best


def out_of_fold(
    rows: Float32[np.ndarray, "rows dim"],
    classes: Int64[np.ndarray, " rows"],
    count: int,
    *,
    penalty: float,
    folds: int,
    seed: int,
) -> Float64[np.ndarray, "rows classes"]:
    """Return the probabilities of each row by a probe that has not seen it.

    Folds are stratified and seeded; a class needs as many rows as there are folds.
    """
    fold = fold_of(classes, folds, seed)
    found = np.empty((len(rows), count))
    for number in range(folds):
        held = fold == number
        probe = fit_probe(rows[~held], classes[~held], count, penalty=penalty)
        found[held] = probe.probabilities(rows[held])
    return found


def fold_of(
    classes: Int64[np.ndarray, " rows"], folds: int, seed: int
) -> Int64[np.ndarray, " rows"]:
    """Return a fold for each row, so that each class is spread over all of them."""
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(len(classes), np.int64)
    fold[order] = np.arange(len(classes)) % folds
    return fold
