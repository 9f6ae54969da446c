"""Votes, silhouettes and twins against scikit-learn and against all pairs."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import KNeighborsClassifier

import tasks.compute.diagnostics.nearness as nearness
from tasks.compute.diagnostics.nearness import nearest, silhouettes, twins, unit, vote


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    found = load_digits()
    return found.data.astype(np.float32)[:700], found.target.astype(np.int64)[:700]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut everything into several blocks, as large features are."""
    monkeypatch.setattr(nearness, "_BLOCK_BYTES", 1 << 19)


@pytest.mark.parametrize("k", [1, 5])
def test_the_vote_is_that_of_scikit_learn(digits: tuple[Any, Any], k: int) -> None:
    rows, labels = digits
    two = (labels % 2).astype(np.int64)  # an odd vote of two labels has no ties
    known, asked = np.arange(0, 500), np.arange(500, 700)
    judge = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(rows[known], two[known])
    found = vote(nearest(unit(rows), asked, known, k), two, 2)
    np.testing.assert_array_equal(found, judge.predict(rows[asked]))


def test_a_row_is_not_its_own_neighbour_but_its_duplicate_is() -> None:
    units = unit(np.array([[1, 0], [1, 0], [0, 1], [0.1, 1]], np.float32))
    everyone = np.arange(4)
    assert nearest(units, everyone, everyone, 1)[:, 0].tolist() == [1, 0, 3, 2]


def test_of_equally_common_labels_the_nearer_wins() -> None:
    assert vote(np.array([[2, 0, 1, 3]]), np.array([0, 0, 1, 1]), 2).tolist() == [1]
    assert vote(np.array([[2, 0, 1]]), np.array([0, 0, 1]), 2).tolist() == [0]


def test_silhouettes_are_those_of_scikit_learn(digits: tuple[Any, Any]) -> None:
    rows, labels = digits
    labels = labels.copy()
    labels[3] = 77  # a label's only row
    asked = np.arange(0, 700, 3)
    expected = silhouette_samples(rows, labels)[asked]
    np.testing.assert_allclose(silhouettes(rows, labels, asked), expected, atol=2e-5)


def test_equal_rows_have_a_silhouette_of_zero() -> None:
    rows, labels = np.ones((6, 3), np.float32), np.array([0, 0, 0, 1, 1, 1])
    assert silhouettes(rows, labels, np.arange(6)).tolist() == [0] * 6


def test_twins_are_all_pairs_of_different_splits_once(digits: tuple[Any, Any]) -> None:
    rows, _ = digits
    units, splits = unit(rows), (np.arange(700) % 3).astype(np.int64)
    found = twins(units, splits, np.flatnonzero(splits != 0), least=0.96, most=10_000)
    cosines = units @ units.T
    one, other = np.nonzero(np.triu(cosines >= 0.96 - 1e-6, 1))
    differ = splits[one] != splits[other]
    expected = set(zip(one[differ].tolist(), other[differ].tolist(), strict=True))
    assert len(expected) > 20
    assert {tuple(sorted(pair)) for pair in found.pairs.tolist()} == expected
    assert found.total == len(found.pairs) == len(expected)


def test_only_the_likest_twins_are_listed_and_all_are_counted() -> None:
    units = unit(np.array([[1, 0], [1, 0.001], [1, 0.05], [1, 0.02]], np.float32))
    splits = np.array([0, 1, 1, 1])
    found = twins(units, splits, np.array([1, 2, 3]), least=0.9, most=2)
    assert found.pairs.tolist() == [[1, 0], [3, 0]]
    assert found.total == 3
    assert found.cosines[0] > found.cosines[1]


def test_a_row_of_zeros_is_no_twin() -> None:
    units = unit(np.zeros((2, 3), np.float32))
    assert twins(units, np.array([0, 1]), np.array([1]), least=0.5, most=5).total == 0
