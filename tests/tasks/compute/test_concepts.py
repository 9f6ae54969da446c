import numpy as np
import pytest

from tasks.compute.concepts import (
    activate,
    contributions,
    fit_probe,
    mean_of_best,
    near_pairs,
    nearest_rows,
    patch_cosines,
    word_vectors,
)

RNG = np.random.default_rng(0)


def unit(*shape: int) -> np.ndarray:
    rows = RNG.normal(size=shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def test_softmax_shares_and_sigmoid_judges_alone() -> None:
    logits = np.array([[0.0, 0.0]], np.float32)
    assert activate(logits, "softmax").tolist() == [[0.5, 0.5]]
    assert activate(logits - 10, "sigmoid").max() < 1e-4


def test_the_mean_is_over_the_best_patches_of_each_name() -> None:
    logits = np.array([[1, 9], [3, 1], [2, 5]], np.float32)
    assert mean_of_best(logits, 2).tolist() == [2.5, 7.0]
    assert mean_of_best(logits, None).tolist() == [2.0, 5.0]
    assert mean_of_best(logits, 128).tolist() == [2.0, 5.0]


def test_patches_are_compared_after_projection_and_a_patch_of_zeros_fits_nothing() -> None:
    tokens = np.array([[3, 0], [0, 0]], np.float32)
    swap = np.array([[0, 1], [1, 0]], np.float32)
    names = np.array([[0, 1]], np.float32)
    assert patch_cosines(tokens, names).tolist() == [[0], [0]]
    assert patch_cosines(tokens, names, swap).tolist() == [[1], [0]]


def test_a_word_is_the_mean_of_its_own_tokens() -> None:
    tokens = np.array([[[9, 9], [1, 0], [0, 1]]], np.float32)
    found = word_vectors(tokens, np.array([[1, 3]]))
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5]], rtol=1e-6)


def test_the_nearest_rows_over_blocks_are_those_of_one_product() -> None:
    rows, queries = unit(500, 16), unit(3, 16)
    blocks = ((start, rows[start : start + 64]) for start in range(0, 500, 64))
    found = nearest_rows(queries, blocks, 7)
    truth = np.argsort(-(queries @ rows.T), axis=1)[:, :7]
    np.testing.assert_array_equal(found.rows, truth)


def test_near_pairs_are_found_across_blocks_and_never_within_a_group() -> None:
    rows = unit(50, 32)
    rows[40], rows[7] = rows[3], rows[2]
    groups = np.where(np.arange(50) < 20, 0, 1)
    found = list(near_pairs(lambda span: rows[span.start : span.stop], groups, 0.999, block=16))
    assert [(one, two) for one, two, _ in found] == [(3, 40)]


@pytest.mark.parametrize("labels", [2, 3])
def test_contributions_and_intercept_are_the_logit_that_decides(labels: int) -> None:
    truth = np.arange(60) % labels
    scores = np.asarray(RNG.normal(size=(60, 4)) + np.eye(labels, 4)[truth] * 4, np.float32)
    probe = fit_probe(scores, truth, folds=3, penalties=(0.1, 1.0), seed=0)
    logits = contributions(scores, probe.weights, probe.center, probe.spread).sum(axis=2)
    named = probe.classes[(logits + probe.intercept).argmax(axis=1)]
    assert (named == truth).mean() > 0.9
    assert len(probe.weights) == labels
    assert set(probe.cross_validation) == {"0.1", "1.0"}


def test_a_probe_without_enough_images_says_what_there_is() -> None:
    scores = np.zeros((4, 2), np.float32)
    with pytest.raises(ValueError, match=r"has \{0: 3, 1: 1\} \(label: images\)"):
        fit_probe(scores, np.array([0, 0, 0, 1]), folds=2, penalties=(1.0,), seed=0)
    with pytest.raises(ValueError, match="has none"):
        fit_probe(scores[:0], np.zeros(0, np.int64), folds=2, penalties=(1.0,), seed=0)
