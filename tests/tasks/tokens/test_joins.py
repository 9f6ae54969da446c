"""Associations: effects and clustered errors are those of the plain regression over tokens."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf.errors import RecipeError
from storage.tokens import TokenIndex
from tasks.tokens.joins import _tested, associations, by_group, separating

Array = np.ndarray[Any, Any]
REVIEWS, FEATURES = 60, 30


@pytest.fixture(scope="module")
def index(
    files_of: Callable[..., Any],
    index_of: Callable[..., TokenIndex],
    entries: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> TokenIndex:
    """Return an index of 60 reviews with 1 to 5 stars, feature 3 stronger where there are more."""
    features, values = entries(2000, 3, FEATURES - 1, seed=4)
    reviews = np.sort(np.random.default_rng(5).integers(0, REVIEWS, 2000))
    stars = [1 + number % 5 for number in range(REVIEWS)]
    values[features == 3] = 0.5 * np.array(stars)[reviews][np.nonzero(features == 3)[0]]
    folder = tmp_path_factory.mktemp("joins")
    files = files_of(folder / "files", features, values, reviews, stars=stars)
    return index_of(files, folder / "store", FEATURES)


def plain(x: Array, y: Array, clusters: Array) -> tuple[float, float]:
    """Return slope and clustered error, by the textbook's matrices."""
    design = np.stack([np.ones_like(x), x], axis=1)
    bread = np.linalg.inv(design.T @ design)
    slope = bread @ design.T @ y
    scores = design * (y - design @ slope)[:, None]
    sums = np.stack([scores[clusters == c].sum(axis=0) for c in np.unique(clusters)])
    groups, tokens = len(sums), len(x)
    factor = groups / (groups - 1) * (tokens - 1) / (tokens - 2)
    covariance = factor * bread @ sums.T @ sums @ bread
    return float(slope[1]), float(np.sqrt(covariance[1, 1]))


@pytest.mark.parametrize("column", ["stars", "useful"])
def test_effect_and_error_are_the_textbooks(index: TokenIndex, column: str) -> None:
    frame = associations(index, column).set_index("feature").sort_index()
    owner = index.reviews.positions.reviews_of_all()
    number = index.reviews.reviews()[column].to_numpy(np.float64)[owner]
    for feature in (0, 3, 11):
        y = index.get_feature_activations_chunk(feature, 0, 2000).astype(np.float64)
        effect, error = plain(number, y, owner)
        assert frame["effect"].iloc[feature] == pytest.approx(effect, rel=1e-9)
        assert frame["error"].iloc[feature] == pytest.approx(error, rel=1e-9)


def test_only_the_feature_that_goes_with_stars_is_found(index: TokenIndex) -> None:
    frame = associations(index)
    assert frame["feature"].iloc[0] == 3
    assert frame["q"].iloc[0] < 1e-6
    assert (frame["q"].iloc[1:].dropna() > 0.01).all()


def test_a_feature_of_few_reviews_has_no_p_and_the_reason(index: TokenIndex) -> None:
    frame = associations(index)
    never = frame[frame["feature"] == FEATURES - 1].iloc[0]
    assert np.isnan(never["p"])
    assert np.isnan(never["q"])
    assert never["reason"] == "fewer than 10 reviews have it"


def test_one_and_five_stars_are_separated_by_it(index: TokenIndex) -> None:
    frame = separating(index)
    owner = index.reviews.positions.reviews_of_all()
    stars = index.reviews.reviews()["stars"].to_numpy(np.float64)[owner]
    kept = (stars == 1) | (stars == 5)
    y = index.get_feature_activations_chunk(3, 0, 2000).astype(np.float64)
    effect, error = plain(stars[kept], y[kept], owner[kept])
    assert frame["feature"].iloc[0] == 3
    assert frame["effect"].iloc[0] == pytest.approx(effect, rel=1e-9)
    assert frame["error"].iloc[0] == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("column", ["user_id", "business_id"])
def test_a_groups_effect_is_the_textbooks(index: TokenIndex, column: str) -> None:
    frame = by_group(index, 3, column)
    owner = index.reviews.positions.reviews_of_all()
    groups = index.reviews.reviews()[column].to_numpy(dtype=object)[owner]
    y = index.get_feature_activations_chunk(3, 0, 2000).astype(np.float64)
    for row in frame[~np.isnan(frame["z"])].head(2).to_dict("records"):
        effect, error = plain((groups == row["group"]).astype(np.float64), y, owner)
        assert row["effect"] == pytest.approx(effect, rel=1e-9)
        assert row["error"] == pytest.approx(error, rel=1e-9)
        assert row["mean"] - row["rest"] == pytest.approx(effect)


def test_a_wrong_column_names_the_nearest(index: TokenIndex) -> None:
    with pytest.raises(RecipeError, match=r"no number 'star'\. Did you mean 'stars'"):
        associations(index, "star")
    with pytest.raises(RecipeError, match=r"no group 'users'\. Did you mean 'user_id'"):
        by_group(index, 3, "users")


def test_reviews_of_no_known_user_are_no_group(index: TokenIndex) -> None:
    table = index.reviews.reviews()
    nameless = table.assign(user_id=["", *table["user_id"][1:]])
    other = TokenIndex(index.store, index.artifact)
    other.reviews.reviews = lambda: nameless  # type: ignore[method-assign]
    found = by_group(other, 3, "user_id")
    assert "" not in found["group"].tolist()
    assert found["reviews"].sum() == REVIEWS - 1


def test_no_feature_asked_is_an_empty_table_with_the_same_columns(index: TokenIndex) -> None:
    empty = associations(index, features=[])
    assert len(empty) == 0
    assert list(empty.columns) == list(associations(index, features=[3]).columns)


def test_an_error_of_zero_is_not_told_as_too_few_reviews() -> None:
    given = {"feature": [1, 2], "reviews": [20, 9], "effect": [0.5, 0.5], "error": [0.0, 0.1]}
    frame = _tested(pd.DataFrame(given), 100, np.zeros(2, np.bool_), "stars")
    assert np.isnan(frame["p"]).all()
    assert frame["reason"].tolist() == [
        "its error is 0: all its reviews agree to the last digit",
        "fewer than 10 reviews have it",
    ]
