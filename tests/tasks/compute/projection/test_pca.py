"""Principal components: scikit-learn's up to sign, whatever the shape."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from tasks.compute.projection.pca import fit_pca, unit_length, usable_rows


@pytest.mark.parametrize(("rows", "dim"), [(400, 30), (30, 400), (50, 50)])
def test_components_are_those_of_scikit_learn_up_to_sign(rows: int, dim: int) -> None:
    draw = np.random.default_rng(rows)
    vectors = draw.normal(3, np.linspace(1, 4, dim), (rows, dim)).astype(np.float32)
    ours, theirs = fit_pca(vectors, 10), PCA(10, svd_solver="full").fit(vectors.astype(float))
    signs = np.sign((ours.components * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.components, signs[:, None] * theirs.components_, atol=2e-5)
    np.testing.assert_allclose(ours.variance, theirs.explained_variance_, rtol=1e-5)
    expected = theirs.transform(vectors.astype(float)) * signs
    np.testing.assert_allclose(ours.scores(vectors), expected, atol=2e-4)
    shares = ours.variance / ours.total_variance
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_, rtol=1e-5)


def test_the_largest_loading_of_every_component_is_positive() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    components = fit_pca(vectors, 8).components
    assert (components[np.arange(8), np.abs(components).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_have_as_many_components_as_they_can(rows: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(rows, 9)).astype(np.float32)
    pca = fit_pca(vectors, 50)
    assert pca.components.shape == (max(1, rows - 1), 9)
    assert np.isfinite(pca.scores(vectors)).all()


def test_constant_vectors_have_components_and_no_variance() -> None:
    for shape in ((40, 6), (4, 60)):
        pca = fit_pca(np.full(shape, 7.5, np.float32), 3)
        assert np.isfinite(pca.components).all()
        np.testing.assert_allclose(pca.variance, 0, atol=1e-9)
        np.testing.assert_allclose(pca.scores(np.full(shape, 7.5, np.float32)), 0, atol=1e-5)


def test_rows_that_cannot_be_mapped_say_why() -> None:
    vectors = np.ones((4, 3), np.float32)
    vectors[1, 2], vectors[2, 0], vectors[3] = np.nan, np.inf, 0
    usable, reasons = usable_rows(vectors, unit=True)
    assert usable.tolist() == [True, False, False, False]
    assert reasons == [
        None,
        "not finite: NaN or infinite",
        "not finite: NaN or infinite",
        "zero: a vector of zeros has no direction",
    ]
    assert usable_rows(vectors, unit=False)[0].tolist() == [True, False, False, True]


def test_a_row_whose_squares_are_infinite_has_a_direction_and_no_place() -> None:
    vectors = np.ones((2, 3), np.float32)
    vectors[1, 2] = 1e30
    assert usable_rows(vectors, unit=True)[0].all()
    usable, reasons = usable_rows(vectors, unit=False)
    assert usable.tolist() == [True, False]
    assert reasons[1] == (
        "too large: squares of numbers beyond 1e+15 are infinite; scale the vectors"
    )


def test_very_large_and_very_small_vectors_keep_their_direction() -> None:
    vectors = np.array([[3e30, 4e30], [3e-30, 4e-30]], np.float32)
    np.testing.assert_allclose(unit_length(vectors), [[0.6, 0.8]] * 2, rtol=1e-6)
