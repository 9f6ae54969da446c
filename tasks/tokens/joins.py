"""Joins with metadata: which features go with stars, votes, users and businesses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.errors import RecipeError, did_you_mean
from storage.tokens import TokenIndex
from tasks.compute.tokens.intervals import false_discovery

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_NUMBERS, _NAMES = ("stars", "useful"), ("user_id", "business_id")
_FEW = 10
_EXACT_REASON = "its error is 0: all its reviews agree to the last digit"
_FEW_REASON = f"fewer than {_FEW} reviews have it"


def associations(
    index: TokenIndex,
    column: str = "stars",
    *,
    values: Sequence[float] | None = None,
    features: Sequence[int] | None = None,
) -> "pd.DataFrame":
    """Return how each feature's activation changes with a number of the reviews.

    `column` is "stars" or "useful"; with `values` only reviews that have one of them count.
    Columns: feature, reviews (that have it), effect (of 1 more on its mean activation), error
    (clustered by review), z, p (two-sided, Student's t), q (Benjamini and Hochberg over all
    features asked), reason (why there is no p). Largest |z| first.
    """
    import pandas as pd

    from tasks.compute.tokens.associations import Regression

    number = _numbers(index, column, values)
    regression = Regression(number, index.reviews.positions.lengths)
    owner = index.reviews.positions.reviews_of_all()
    rows = list(range(index.n_features)) if features is None else list(features)
    found = []
    for feature in rows:
        tokens, active = index.postings(feature)
        one = regression.of(owner[tokens], active.astype(np.float64))
        found.append((feature, one.reviews, one.effect, one.error))
    names = {"feature": int, "reviews": int, "effect": float, "error": float}
    frame = pd.DataFrame(found, columns=list(names)).astype(names)  # types for no feature, too
    return _tested(frame, regression.reviews, np.isnan(frame["effect"]).to_numpy(), column)


def separating(index: TokenIndex, low: float = 1, high: float = 5) -> "pd.DataFrame":
    """Return the features that separate `low`-star from `high`-star reviews; columns as in
    `associations`, effects a star."""
    return associations(index, "stars", values=(low, high))


def by_group(index: TokenIndex, feature: int, column: str) -> "pd.DataFrame":
    """Return how a feature's mean activation in each user's or business's reviews differs from the
    rest's.

    `column` is "user_id" or "business_id"; columns: column, group, reviews, mean, rest, effect,
    error (clustered by review), z, p, q, reason. Largest |z| first.
    """
    import pandas as pd

    from tasks.compute.tokens.associations import group_effects

    if column not in _NAMES:
        raise RecipeError(f"There is no group {column!r}. {did_you_mean(column, _NAMES)}")
    positions = index.reviews.positions
    tokens, values = index.postings(feature)
    sums = np.bincount(positions.reviews_of(tokens), weights=values, minlength=positions.n_reviews)
    codes, names = pd.factorize(index.reviews.reviews()[column])
    effects = group_effects(sums.astype(np.float64), positions.lengths, codes.astype(np.int64))
    frame = pd.DataFrame(effects, columns=["reviews", "mean", "rest", "effect", "error"])
    frame.insert(0, "group", names)
    frame.insert(0, "column", column)
    frame["reviews"] = frame["reviews"].astype(int)
    frame = frame[frame["group"] != ""].reset_index(drop=True)  # whose user is not known
    return _tested(frame, positions.n_reviews, np.isnan(frame["effect"]).to_numpy(), column)


def _numbers(index: TokenIndex, column: str, values: Sequence[float] | None) -> Array:
    if column not in _NUMBERS:
        raise RecipeError(f"Reviews have no number {column!r}. {did_you_mean(column, _NUMBERS)}")
    number = index.reviews.reviews()[column].to_numpy(np.float64)
    return number if values is None else np.where(np.isin(number, values), number, np.nan)


def _tested(frame: "pd.DataFrame", reviews: int, constant: Array, column: str) -> "pd.DataFrame":
    import pandas as pd
    from scipy.special import stdtr

    is_testable = (frame["reviews"].to_numpy() >= _FEW) & ~constant
    is_testable &= frame["error"].to_numpy() > 0
    z = np.full(len(frame), np.nan)
    np.divide(frame["effect"].to_numpy(), frame["error"].to_numpy(), out=z, where=is_testable)
    p = 2 * stdtr(max(1, reviews - 1), -np.abs(z))
    frame["z"], frame["p"], frame["q"] = z, p, false_discovery(p)
    is_few = frame["reviews"].to_numpy() < _FEW
    reasons = np.select([constant, is_few], [f"{column} does not vary", _FEW_REASON], _EXACT_REASON)
    told = [None if tested else why for tested, why in zip(is_testable, reasons, strict=True)]
    frame["reason"] = pd.Series(told, dtype=object)  # text of pandas' own would be NaN for none
    order = np.argsort(-np.abs(np.nan_to_num(z)), kind="stable")
    return frame.iloc[order].reset_index(drop=True)
