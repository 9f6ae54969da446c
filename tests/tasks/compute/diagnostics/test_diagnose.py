"""What is said of features: on real digits, and on the smallest and strangest ones."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tasks.compute.diagnostics import Diagnostics, Rows, Settings, diagnose
from tasks.compute.diagnostics.doubts import doubted
from tasks.compute.diagnostics.probe import fit_probe, fold_of

NAMES = [f"digit {at}" for at in range(10)]


def rows_of(vectors: Any, labels: Any, splits: Any = None, **changed: Any) -> Rows:
    count = len(vectors)
    given: dict[str, Any] = {
        "vectors": np.asarray(vectors, np.float32),
        "labels": np.asarray(labels, np.int64),
        "label_names": NAMES,
        "splits": np.zeros(count, np.int64) if splits is None else np.asarray(splits, np.int64),
        "split_names": ["test", "train"],
        "numbers": np.arange(count),
    }
    return Rows(**(given | changed))


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    found = load_digits()
    return found.data.astype(np.float32)[:900], found.target.astype(np.int64)[:900]


@pytest.fixture(scope="module")
def report(digits: tuple[Any, Any]) -> Diagnostics:
    """Of digits of which five are mislabelled and three of the test split are copies of train."""
    vectors, labels = digits[0].copy(), digits[1].copy()
    splits = np.where(np.arange(900) % 3 == 0, 0, 1)
    labels[[10, 40, 70, 100, 130]] = (labels[[10, 40, 70, 100, 130]] + 5) % 10
    vectors[[300, 303, 306]] = vectors[[301, 304, 307]] * 1.5
    return diagnose(rows_of(vectors, labels, splits, numbers=np.arange(900) + 1000))


def test_the_probe_is_the_logistic_regression_of_scikit_learn(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits
    scaled = StandardScaler().fit_transform(vectors)
    theirs = LogisticRegression(C=1.0, max_iter=2000, tol=1e-8).fit(scaled, labels)
    ours = fit_probe(vectors, labels, 10, penalty=1.0).probabilities(vectors)
    np.testing.assert_allclose(ours, theirs.predict_proba(scaled), atol=5e-3)


def test_folds_share_each_class_evenly_and_are_drawn_by_the_seed() -> None:
    classes = np.repeat(np.arange(3), [5, 11, 20])
    fold = fold_of(classes, 5, seed=1)
    for one in range(3):
        counts = np.bincount(fold[classes == one], minlength=5)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(fold, fold_of(classes, 5, seed=1))
    assert (fold != fold_of(classes, 5, seed=2)).any()


def test_the_reference_is_train_and_good_features_are_said_to_be_good(report: Diagnostics) -> None:
    assert report.reference == "train"
    test, train = report.splits
    assert (test.split, test.rows, train.rows) == ("test", 300, 600)
    for score in (test, train):
        assert score.neighbours is not None
        assert score.probe is not None
        assert score.neighbours.value > 0.9
        assert score.probe.value > 0.85
        assert 0 < score.neighbours.standard_error < 0.02
        assert score.majority is not None
        assert score.majority < 0.15
    assert report.silhouette is not None
    assert 0.1 < report.silhouette.value < 0.3


def test_planted_wrong_labels_are_among_the_first_to_doubt(report: Diagnostics) -> None:
    first = {suspect.row for suspect in report.suspects[:10]}
    assert first >= {1010, 1040, 1070, 1100, 1130}
    planted = next(suspect for suspect in report.suspects if suspect.row == 1010)
    assert planted.suggested_probability > 0.8
    assert planted.agreeing < 0.2


def test_planted_twins_are_the_likest_leaks(report: Diagnostics) -> None:
    assert {(leak.row, leak.other) for leak in report.leaks if leak.cosine > 0.999999} == {
        (1300, 1301),
        (1303, 1304),
        (1306, 1307),
    }
    assert report.leak_count == len(report.leaks)
    assert report.leaks[0].split == "test"


def test_confident_learning_asks_for_the_mean_confidence_of_the_class() -> None:
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.3, 0.7], [0.05, 0.95]])
    # Class 1 has thresholds (0.7 + 0.95) / 2 = 0.825: 0.55 is the likelier, but not confident.
    found = doubted(chances, np.array([0, 0, 0, 1, 1]))
    assert found.rows.tolist() == []
    found = doubted(chances, np.array([0, 0, 1, 1, 0]))
    assert found.rows.tolist() == [4]
    assert found.suggested.tolist() == [1]


def test_a_scale_changes_nothing_but_rounding(digits: tuple[Any, Any]) -> None:
    vectors, labels = digits[0][:200], digits[1][:200]
    small, large = (diagnose(rows_of(vectors * scale, labels)) for scale in (1, 1e30))
    assert small.silhouette is not None
    assert large.silhouette is not None
    assert large.silhouette.value == pytest.approx(small.silhouette.value, abs=1e-4)
    assert [one.row for one in small.suspects] == [one.row for one in large.suspects]


def test_samples_are_told(digits: tuple[Any, Any]) -> None:
    splits = np.where(np.arange(900) % 3 == 0, 1, 0)
    settings = Settings(judged_rows=50, probe_rows=200)
    found = diagnose(rows_of(digits[0], digits[1], splits), settings)
    assert found.splits[0].neighbours is not None
    assert found.splits[0].neighbours.counted == 50
    assert any("200 of 600 rows outside the reference" in note for note in found.notes)


def test_one_label_has_votes_but_neither_probe_nor_silhouette() -> None:
    found = diagnose(rows_of(np.random.default_rng(0).normal(size=(20, 4)), np.zeros(20)))
    (score,) = found.splits
    assert score.neighbours is not None
    assert score.neighbours.value == 1
    assert score.probe is None
    assert score.why == (
        "no probe: test needs two labels with 5 rows each, and this split a row of one of them"
    )
    assert found.silhouette is None
    assert found.suspect_count == 0


def test_without_labels_every_figure_is_unknown_and_says_why() -> None:
    found = diagnose(rows_of(np.random.default_rng(0).normal(size=(20, 4)), np.full(20, -1)))
    (score,) = found.splits
    assert (score.labelled, score.majority, score.neighbours, score.probe) == (0, None, None, None)
    assert score.why == "no row has a label"


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("same", [False, True])
def test_few_and_equal_rows_are_no_trouble(count: int, same: bool) -> None:
    vectors = np.ones((count, 3)) if same else np.eye(count, 3)
    splits = np.arange(count) % 2
    found = diagnose(rows_of(vectors, np.arange(count) % 2, splits))
    assert found.rows == count
    assert sum(score.rows for score in found.splits) == count


def test_rows_of_zeros_are_no_trouble() -> None:
    found = diagnose(rows_of(np.zeros((12, 3)), np.arange(12) % 2, np.arange(12) % 2))
    assert found.leak_count == 0


def test_a_split_whose_labels_the_reference_lacks_is_all_wrong_or_unknown() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    labels = np.where(np.arange(30) < 20, np.arange(30) % 2, 2)
    found = diagnose(rows_of(vectors, labels, np.where(np.arange(30) < 20, 1, 0)))
    test = found.splits[0]
    assert test.neighbours is not None
    assert test.neighbours.value == 0
    assert test.probe is None


def test_a_report_survives_its_way_through_plain_values(report: Diagnostics) -> None:
    assert Diagnostics.from_json(report.as_json()) == report
