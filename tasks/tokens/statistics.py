"""What is known of features: their table, strata, co-activation, and tokens that share features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.errors import RecipeError
from storage.tokens import TokenIndex
from tasks.compute.tokens.intervals import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_SAMPLE_TOKENS = 1 << 20


def feature_table(index: TokenIndex, features: Sequence[int] | None = None) -> "pd.DataFrame":
    """Return a row a feature: count, density with its 95 % interval, mean, std and max.

    Density is the share of all tokens at which it is active, the interval Wilson's, which takes
    tokens for independent; mean and std are over active tokens, null where there is none.
    """
    import pandas as pd

    rows = np.arange(index.n_features) if features is None else np.asarray(features)
    if len(rows) and not 0 <= rows.min() <= rows.max() < index.n_features:
        raise RecipeError(f"There are {index.n_features} features here; {list(rows)} were asked.")
    count, total, squares, most = (
        index.column(name)[rows] for name in ("count", "sum", "sum_of_squares", "max")
    )
    low, high = wilson_interval(count, index.n_tokens)
    shown = np.where(count > 0, count, np.nan)
    mean = total / shown
    return pd.DataFrame(
        {
            "feature": rows,
            "count": count,
            "density": count / max(1, index.n_tokens),
            "density_low": low,
            "density_high": high,
            "mean": mean,
            "std": np.sqrt(np.maximum(squares / shown - mean**2, 0)),
            "max": most.astype(np.float64),
        }
    )


def histogram(index: TokenIndex, feature: int) -> list[tuple[float, float, int]]:
    """Return (from, to, count) of each bin of a feature's values."""
    counts, edges = index.column("histogram")[feature], index.column("bin_edges")
    return [
        (float(low), float(high), int(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Stratum:
    """One of ten shares of a feature's active tokens, by rank of value."""

    number: int
    """1 holds the weakest tokens, 10 the strongest."""
    lowest: float
    highest: float
    tokens: Array
    values: Array


def strata(index: TokenIndex, feature: int, *, each: int = 2, seed: int = 0) -> list[Stratum]:
    """Return up to ten strata of equal counts, weakest first, each with tokens drawn from it."""
    tokens, values = index.ranked(feature)
    random = np.random.default_rng([seed, feature])
    found = []
    for number, rows in enumerate(np.array_split(np.arange(len(tokens))[::-1], 10), start=1):
        if len(rows):
            drawn = np.sort(random.choice(rows, min(each, len(rows)), replace=False))
            lowest, highest = float(values[rows].min()), float(values[rows].max())
            found.append(Stratum(number, lowest, highest, tokens[drawn], values[drawn]))
    return found


def coactive(
    index: TokenIndex, feature: int, *, sample_tokens: int = _SAMPLE_TOKENS
) -> "pd.DataFrame":
    """Return the features active where `feature` is, largest lift among the well-counted first.

    Counted exactly in the first parts that hold at least `sample_tokens` tokens; columns feature,
    both, count, lift (both * tokens / (count * count of `feature`)), lift_low (of the Wilson bound
    of the share of its tokens at which both are active), tokens (the size of the sample).
    """
    import pandas as pd

    from tasks.compute.tokens.coactivation import count_where

    mine, _ = index.postings(feature)
    both = np.zeros(index.n_features, np.int64)
    count = np.zeros(index.n_features, np.int64)
    seen = 0
    for part, n_tokens in index.sample_parts(sample_tokens):
        first = part.first_token
        low, high = np.searchsorted(mine, (first, first + n_tokens))
        is_mine = np.zeros(n_tokens, np.bool_)
        is_mine[mine[low:high] - first] = True
        found: Array = count_where(part.offsets, part.segments, part.tokens, is_mine)
        lengths: Array = np.diff(part.offsets[:: part.segments].astype(np.int64))
        both += found
        count += lengths
        seen += n_tokens
    total = int(both[feature])
    others = np.flatnonzero((both > 0) & (np.arange(len(both)) != feature))
    low, _ = wilson_interval(both[others], max(1, total))
    share = count[others] / max(1, seen)
    frame = pd.DataFrame(
        {
            "feature": others,
            "both": both[others],
            "count": count[others],
            "lift": both[others] / max(1, total) / share,
            "lift_low": low / share,
            "tokens": seen,
        }
    )
    return frame.sort_values(["lift_low", "feature"], ascending=[False, True], ignore_index=True)


def lift(index: TokenIndex, feature: int, other: int) -> tuple[float, int, int]:
    """Return the lift of two features over all tokens, how many tokens have both, and of how many.

    The lift is null (NaN) when one is never active.
    """
    mine, theirs = index.postings(feature)[0], index.postings(other)[0]
    both = len(np.intersect1d(mine, theirs, assume_unique=True))
    expected = len(mine) * len(theirs) / max(1, index.n_tokens)
    return (both / expected if expected else float("nan")), both, index.n_tokens


def tokens_with(
    index: TokenIndex, feature: int, other: int, *, absent: bool = False, within: int = 0
) -> tuple[Array, Array]:
    """Return the tokens of `feature`, strongest first, that have `other` at most `within` tokens
    away in the same review; with `absent`, those that have it nowhere so near."""
    tokens, values = index.ranked(feature)
    theirs = index.postings(other)[0]
    is_near = _near(index, tokens, theirs, within) if within else np.isin(tokens, theirs)
    kept = ~is_near if absent else is_near
    return tokens[kept], values[kept]


def _near(index: TokenIndex, tokens: Array, others: Array, within: int) -> Array:
    """Whether each of `tokens` has one of `others` near it in its review; reviews are laid out one
    after the other with gaps, so that runs of a review are neighbours and reviews are none."""
    if not len(others):
        return np.zeros(len(tokens), np.bool_)
    positions = index.reviews.positions
    gap = int(positions.lengths.max()) + within + 1

    def place(wanted: Array) -> Array:
        laid: Array = positions.reviews_of(wanted).astype(np.int64) * gap
        return laid + positions.local_positions(wanted)

    mine, theirs = place(tokens), np.sort(place(others))
    after = np.minimum(np.searchsorted(theirs, mine), len(theirs) - 1)
    before = np.maximum(after - 1, 0)
    distance = np.minimum(np.abs(theirs[after] - mine), np.abs(theirs[before] - mine))
    near: Array = distance <= within
    return near
