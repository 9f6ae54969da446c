"""Statistics of features, held to plain counting over dense values."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from conf.errors import RecipeError
from storage.tokens import TokenIndex
from tasks.tokens.statistics import coactive, feature_table, histogram, lift, strata, tokens_with

Array = np.ndarray[Any, Any]
FEATURES, TOKENS = 25, 1500


@pytest.fixture(scope="module")
def index(
    files_of: Callable[..., Any],
    index_of: Callable[..., TokenIndex],
    entries: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> TokenIndex:
    """Return an index with interleaved reviews, its last feature never active."""
    features, values = entries(TOKENS, 5, FEATURES - 1, seed=6)
    reviews = np.random.default_rng(7).integers(0, 40, TOKENS)
    folder = tmp_path_factory.mktemp("statistics")
    files = files_of(folder / "files", features, values, reviews)
    return index_of(files, folder / "store", FEATURES)


@pytest.fixture(scope="module")
def active(index: TokenIndex) -> Array:
    """Return (features, tokens) bool."""
    chunks = [index.get_feature_activations_chunk(f, 0, TOKENS) for f in range(FEATURES)]
    return np.stack(chunks) > 0


def test_the_table_has_density_with_its_interval(index: TokenIndex, active: Array) -> None:
    frame = feature_table(index)
    np.testing.assert_allclose(frame["density"], active.mean(axis=1))
    assert (frame["density_low"] <= frame["density"]).all()
    assert (frame["density_high"] >= frame["density"]).all()
    assert np.isnan(frame["mean"].iloc[-1])
    values = index.postings(4)[1].astype(np.float64)
    assert frame["std"].iloc[4] == pytest.approx(values.std())


def test_strata_are_tenths_by_rank_weakest_first(index: TokenIndex) -> None:
    found = strata(index, 2, each=3)
    assert [stratum.number for stratum in found] == list(range(1, 11))
    for weaker, stronger in pairwise(found):
        assert weaker.highest <= stronger.lowest
    assert found[-1].highest == index.column("max")[2]
    for stratum in found:
        assert ((stratum.values >= stratum.lowest) & (stratum.values <= stratum.highest)).all()
    assert strata(index, FEATURES - 1) == []


def test_strata_draw_the_same_tokens_again(index: TokenIndex) -> None:
    first, second = strata(index, 2), strata(index, 2)
    assert [s.tokens.tolist() for s in first] == [s.tokens.tolist() for s in second]


def test_coactive_counts_and_lifts_are_those_of_counting(index: TokenIndex, active: Array) -> None:
    frame = coactive(index, 3)
    assert set(frame["tokens"]) == {TOKENS}
    both = (active & active[3]).sum(axis=1)
    both[3] = 0
    assert dict(zip(frame["feature"], frame["both"], strict=True)) == {
        f: n for f, n in enumerate(both.tolist()) if n
    }
    for row in frame.to_dict("records"):
        expected = active[3].mean() * active[row["feature"]].mean() * TOKENS
        assert row["lift"] == pytest.approx(row["both"] / expected)
        assert row["lift_low"] < row["lift"]


def test_lift_of_two_says_its_counts(index: TokenIndex, active: Array) -> None:
    found, both, sample = lift(index, 3, 8)
    assert (both, sample) == ((active[3] & active[8]).sum(), TOKENS)
    assert found == pytest.approx(both * TOKENS / active[3].sum() / active[8].sum())
    assert np.isnan(lift(index, 3, FEATURES - 1)[0])


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("within", [0, 1, 5])
def test_tokens_with_and_without_another_feature(
    index: TokenIndex, active: Array, absent: bool, within: int
) -> None:
    positions = index.reviews.positions
    reviews, places = positions.reviews_of_all(), positions.local_positions(np.arange(TOKENS))
    others = np.flatnonzero(active[8])
    wanted = []
    for token in np.flatnonzero(active[3]):
        mine = others[reviews[others] == reviews[token]]
        is_near = (np.abs(places[mine] - places[token]) <= within).any()
        if is_near != absent:
            wanted.append(token)
    tokens, values = tokens_with(index, 3, 8, absent=absent, within=within)
    assert sorted(tokens.tolist()) == wanted
    assert (np.diff(values) <= 0).all()


def test_the_histogram_counts_every_active_token(index: TokenIndex, active: Array) -> None:
    assert sum(count for *_, count in histogram(index, 5)) == active[5].sum()


def test_a_feature_that_is_not_there_says_how_many_are(index: TokenIndex) -> None:
    with pytest.raises(RecipeError, match=r"no feature 25: this index has 25, from 0 to 24\."):
        index.postings(25)
