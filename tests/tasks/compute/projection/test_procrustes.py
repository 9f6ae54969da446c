"""Maps laid onto each other: what turning and scaling explains is no difference."""

import numpy as np
import pytest
from scipy.spatial import procrustes

from tasks.compute.projection.procrustes import align, moves, radius, stability


@pytest.fixture
def coords() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)


def turned(coords: np.ndarray, angle: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(3 * coords @ turn @ np.diag([1, -1]) + [7, -2], np.float32)


def test_a_turned_mirrored_moved_and_scaled_map_is_the_same_map(coords: np.ndarray) -> None:
    laid = align(turned(coords, 2.0), coords)
    np.testing.assert_allclose(laid.apply(turned(coords, 2.0)), coords, atol=1e-5)
    assert laid.disparity == pytest.approx(0, abs=1e-6)
    assert laid.scale == pytest.approx(1 / 3)


def test_disparity_is_that_of_scipy(coords: np.ndarray) -> None:
    other = coords + np.random.default_rng(1).normal(size=coords.shape).astype(np.float32)
    expected = procrustes(coords.astype(float), other.astype(float))[2]
    assert align(other, coords).disparity == pytest.approx(expected, rel=1e-5)


def test_moves_are_told_in_radii(coords: np.ndarray) -> None:
    moved = coords.copy()
    moved[0, 0] += 2 * radius(coords)
    found = moves(moved, coords, align(coords, coords))
    assert found.largest == pytest.approx(2, rel=1e-5)
    assert found.median == 0
    assert found.points == 80


def test_maps_of_one_point_are_alike() -> None:
    one = np.ones((1, 2), np.float32)
    laid = align(one, 4 * one)
    assert laid.disparity == 0
    np.testing.assert_allclose(laid.apply(one), 4 * one)


def test_stability_tells_a_turned_map_from_another(coords: np.ndarray) -> None:
    same, strays = stability([coords, turned(coords, 1.0)], 5, 80)
    assert same.disparity == pytest.approx(0, abs=1e-6)
    assert same.recall == pytest.approx(1)
    assert strays.max() < 1e-5
    other = np.random.default_rng(9).normal(size=coords.shape).astype(np.float32)
    unlike, strays = stability([coords, other], 5, 80)
    assert unlike.disparity > 0.8
    assert unlike.recall < 0.3
    assert np.median(strays) > 0.3
