"""Neighbours are exact: those of a float64 sort."""

import numpy as np
import pytest

from tasks.compute.projection import graph
from tasks.compute.projection.graph import nearest_neighbours


def by_sorting(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    exact = points.astype(np.float64)
    far = np.sqrt(((exact[:, None] - exact[None]) ** 2).sum(axis=2))
    np.fill_diagonal(far, np.inf)
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(far, order, axis=1)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_neighbours_are_those_of_an_exact_sort_also_far_from_the_origin(
    offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_BLOCK_BYTES", 4 * 300 * 64)  # several blocks
    points = (np.random.default_rng(1).normal(size=(300, 12)) + offset).astype(np.float32)
    found = nearest_neighbours(points, 15)
    places, distances = by_sorting(points, 15)
    np.testing.assert_array_equal(found.places, places)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6)


def test_a_duplicate_is_a_neighbour_at_no_distance_and_the_lower_number_comes_first() -> None:
    points = np.array([[0, 0], [5, 0], [0, 0], [0, 0], [9, 9]], np.float32)
    found = nearest_neighbours(points, 3)
    assert found.places[0].tolist() == [2, 3, 1]
    assert found.places[3].tolist() == [0, 2, 1]
    assert found.distances[0].tolist() == [0, 0, 5]


@pytest.mark.parametrize(("count", "k"), [(1, 5), (2, 5), (5, 5), (5, 0)])
def test_there_are_no_more_neighbours_than_other_points(count: int, k: int) -> None:
    points = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    found = nearest_neighbours(points, k)
    assert found.places.shape == found.distances.shape == (count, min(k, count - 1))
