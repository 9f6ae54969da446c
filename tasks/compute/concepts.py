"""Scores, neighbours and heatmaps of concepts, and the linear probe on them: arrays only."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped

from tasks.compute.norms import unit_rows

Activation = Literal["softmax", "sigmoid"]


def activate(
    logits: Float32[np.ndarray, "rows names"], activation: Activation
) -> Float32[np.ndarray, "rows names"]:
    """Return scores in [0, 1]: shares of all names (softmax), or each name by itself (sigmoid)."""
    from scipy.special import expit, softmax  # takes longer to import than a plan

    scores = softmax(logits, axis=1) if activation == "softmax" else expit(logits)
    return np.asarray(scores, np.float32)


def mean_of_best(
    logits: Float32[np.ndarray, "patches names"], best: int | None
) -> Float32[np.ndarray, " names"]:
    """Return the mean over the `best` patches of each name; None or too many takes all.

    The local half of ConceptCLIP's zero-shot rule (Nie et al. 2025), `best` 128 of 729.
    """
    if best is not None and best < len(logits):
        logits = np.partition(logits, len(logits) - best, axis=0)[-best:]
    return np.asarray(logits.mean(axis=0), np.float32)


def patch_cosines(
    tokens: Float32[np.ndarray, "patches width"],
    names: Float32[np.ndarray, "names dim"],
    projection: Float32[np.ndarray, "width dim"] | None = None,
) -> Float32[np.ndarray, "patches names"]:
    """Return the cosine, in [-1, 1], of every patch with every unit row of `names`.

    A patch of zeros has no direction; its cosines are 0.
    """
    projected = tokens if projection is None else tokens @ projection
    lengths = np.linalg.norm(projected, axis=1, keepdims=True)
    units = projected / np.where(lengths > 0, lengths, 1)
    return np.asarray(units @ names.T, np.float32)


def word_vectors(
    tokens: Float32[np.ndarray, "texts positions dim"], spans: Int64[np.ndarray, "texts 2"]
) -> Float32[np.ndarray, "texts dim"]:
    """Return the unit mean of the text tokens from spans[i, 0] up to spans[i, 1] of each text."""
    pairs = zip(tokens, spans.tolist(), strict=True)
    means = np.stack([row[first:stop].mean(axis=0) for row, (first, stop) in pairs])
    return unit_rows(np.asarray(means, np.float32))


class Nearest(NamedTuple):
    """The best rows for each query, best first."""

    rows: Int64[np.ndarray, "queries top"]
    cosines: Float32[np.ndarray, "queries top"]


Block = tuple[int, Shaped[np.ndarray, "rows dim"]]
"""The number of the first row, and rows of unit norm."""


def nearest_rows(
    queries: Float32[np.ndarray, "queries dim"], blocks: Iterable[Block], top: int
) -> Nearest:
    """Return the `top` rows of `blocks` by cosine with each unit query, exact; ties by row.

    Memory is a block's and the result's. (Exact products need 0.1 s for 100,000 rows of 1152: an
    index of neighbours pays from millions on.)
    """
    rows = np.empty((len(queries), 0), np.int64)
    cosines = np.empty((len(queries), 0), np.float32)
    for first, block in blocks:
        found = queries @ _units(block).T
        numbers = np.broadcast_to(np.arange(first, first + len(block)), found.shape)
        rows, cosines = np.hstack([rows, numbers]), np.hstack([cosines, found])
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
        rows = np.take_along_axis(rows, order, axis=1)
        cosines = np.take_along_axis(cosines, order, axis=1)
    return Nearest(rows.astype(np.int64), cosines.astype(np.float32))


def _units(block: Shaped[np.ndarray, "rows dim"]) -> Float32[np.ndarray, "rows dim"]:
    return unit_rows(np.asarray(block, np.float32))


def near_pairs(
    read: Callable[[range], Shaped[np.ndarray, "rows dim"]],
    groups: Int64[np.ndarray, " rows"],
    least: float,
    block: int = 2048,
) -> Iterator[tuple[int, int, float]]:
    """Yield (row, later row, cosine) of rows in different `groups` whose cosine is `least` or more.

    `read` gives the features of a range of rows; two blocks of them are held at once.
    """
    spans = [range(at, min(at + block, len(groups))) for at in range(0, len(groups), block)]
    for place, span in enumerate(spans):
        units = _units(read(span))
        for later in spans[place:]:
            cosines = units @ (units if later is span else _units(read(later))).T
            # Within a group all may be alike: those pairs are never listed.
            differ = groups[span][:, None] != groups[later][None]
            for one, two in zip(*np.nonzero((cosines >= least) & differ), strict=True):
                row, other = span.start + int(one), later.start + int(two)
                if row < other:
                    yield row, other, float(cosines[one, two])


class FittedProbe(NamedTuple):
    """A linear classifier: logits are weights . (score - center) / spread + intercept."""

    classes: Int64[np.ndarray, " classes"]
    weights: Float64[np.ndarray, "classes names"]
    intercept: Float64[np.ndarray, " classes"]
    center: Float64[np.ndarray, " names"]
    spread: Float64[np.ndarray, " names"]
    penalty: float
    cross_validation: dict[str, float]
    """Mean accuracy over the folds, by penalty."""


def fit_probe(
    scores: Float32[np.ndarray, "rows names"],
    labels: Int64[np.ndarray, " rows"],
    *,
    folds: int,
    penalties: tuple[float, ...],
    seed: int,
) -> FittedProbe:
    """Return logistic regression on standardised scores, its penalty chosen by cross-validation.

    Folds are stratified and seeded. Raises ValueError for a single label, or for a label with fewer
    rows than folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _refuse_few(labels, folds)

    def pipeline(penalty: float) -> object:
        return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=5000))

    kept = StratifiedKFold(folds, shuffle=True, random_state=seed)
    accuracy = {
        penalty: float(cross_val_score(pipeline(penalty), scores, labels, cv=kept).mean())
        for penalty in penalties
    }
    chosen = max(accuracy, key=lambda penalty: (accuracy[penalty], -penalty))
    scaler, model = pipeline(chosen).fit(scores, labels)  # type: ignore[attr-defined]
    return FittedProbe(
        np.asarray(model.classes_, np.int64),
        *_both_classes(np.asarray(model.coef_, float), np.asarray(model.intercept_, float)),
        np.asarray(scaler.mean_, float),
        np.asarray(scaler.scale_, float),
        chosen,
        {str(penalty): share for penalty, share in accuracy.items()},
    )


def _refuse_few(labels: Int64[np.ndarray, " rows"], folds: int) -> None:
    found, counts = np.unique(labels, return_counts=True)
    if len(found) < 2 or counts.min() < folds:
        counted = dict(zip(found.tolist(), counts.tolist(), strict=True))
        raise ValueError(
            f"a probe with {folds} folds needs at least 2 labels and {folds} images of each; the "
            f"training split has {counted or 'none'} (label: images). Take fewer folds, or more "
            "images"
        )


def _both_classes(
    weights: Float64[np.ndarray, "rows names"], intercept: Float64[np.ndarray, " rows"]
) -> tuple[Float64[np.ndarray, "classes names"], Float64[np.ndarray, " classes"]]:
    """Return a row a class also for two classes, of which scikit-learn keeps one."""
    if len(weights) > 1:
        return weights, intercept
    return np.vstack([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2


def contributions(
    scores: Float32[np.ndarray, "rows names"],
    weights: Float64[np.ndarray, "classes names"],
    center: Float64[np.ndarray, " names"],
    spread: Float64[np.ndarray, " names"],
) -> Float64[np.ndarray, "rows classes names"]:
    """Return what each concept adds to the logit of each class: the logit is their sum and the
    intercept."""
    standardised = (scores.astype(np.float64) - center) / spread
    return np.asarray(standardised[:, None, :] * weights[None])
