"""Groups by a directed dissimilarity, against what their definitions say."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform

from tasks.compute.losses import groups


@pytest.fixture
def directed() -> np.ndarray:
    costs = np.random.default_rng(0).uniform(1, 9, (6, 6)).astype(np.float32)
    np.fill_diagonal(costs, 0)
    return costs


def best_path(costs: np.ndarray, start: int, end: int) -> float:
    """Return the least dearest step over every path, tried one by one."""
    others = [node for node in range(len(costs)) if node not in (start, end)]
    paths = (p for k in range(len(others) + 1) for p in permutations(others, k))
    tried = ([start, *between, end] for between in paths)
    return min(max(float(costs[a, b]) for a, b in pairwise(path)) for path in tried)


def test_the_nonreciprocal_tree_joins_at_the_best_paths_there_and_back(
    directed: np.ndarray,
) -> None:
    heights = squareform(cophenet(groups.nonreciprocal_tree(directed)))
    for i, j in permutations(range(6), 2):
        wanted = max(best_path(directed, i, j), best_path(directed, j, i))
        assert heights[i, j] == pytest.approx(wanted)


def test_the_reciprocal_tree_joins_at_the_best_path_of_two_way_steps(directed: np.ndarray) -> None:
    both = np.maximum(directed, directed.T)
    heights = squareform(cophenet(groups.reciprocal_tree(directed)))
    for i, j in permutations(range(6), 2):
        assert heights[i, j] == pytest.approx(best_path(both, i, j))


def test_no_nonreciprocal_height_is_above_the_reciprocal_one(directed: np.ndarray) -> None:
    below = cophenet(groups.nonreciprocal_tree(directed))
    above = cophenet(groups.reciprocal_tree(directed))
    assert np.all(below <= above + 1e-6)
    assert np.any(below < above - 1e-6)


def test_both_trees_of_a_symmetric_matrix_are_one(directed: np.ndarray) -> None:
    even = directed + directed.T
    heights = [cophenet(tree(even)) for tree in (groups.reciprocal_tree, groups.nonreciprocal_tree)]
    np.testing.assert_allclose(*heights)
    assert groups.asymmetry(even) == 0


def test_asymmetry_is_one_where_only_one_direction_costs() -> None:
    one_way = np.triu(np.ones((4, 4), np.float32), 1)
    assert groups.asymmetry(one_way) == pytest.approx(1)
    assert groups.asymmetry(np.zeros((3, 3), np.float32)) is None


def test_regret_is_never_negative_and_ranks_forget_how_hard_a_row_is() -> None:
    losses = np.array([[2, 1, 5], [10, 4, 7], [30, 10, 20]], np.float32)
    regret = groups.dissimilarity(losses, "regret")
    assert regret.tolist() == [[0, 0, 3], [6, 0, 3], [10, 0, 0]]
    ranks = groups.dissimilarity(losses, "rank")
    assert ranks.tolist() == [[0, 0.5, 1], [1, 0, 0.5], [1, 0.5, 0]]


def test_groups_are_numbered_by_size_and_none_stays_none() -> None:
    assert groups.by_size(np.array([5, -1, 7, 7, 5, 7])).tolist() == [1, -1, 0, 0, 1, 0]


def test_the_heatmap_keeps_groups_together_and_the_ungrouped_last(directed: np.ndarray) -> None:
    labels = np.array([1, 0, -1, 0, 1, 0])
    order = groups.heatmap_order(groups.mean_tree(directed), labels)
    assert labels[order].tolist() == [0, 0, 0, 1, 1, -1]


def test_a_medoid_is_nearest_to_its_whole_group() -> None:
    place = np.array([0, 1, 2, 10, 11, 15], np.float32)
    distances = np.abs(place[:, None] - place)
    assert groups.medoids(distances, np.array([0, 0, 0, 1, 1, 1])) == {0: 1, 1: 4}


def test_neighbours_by_the_same_measure_agree_wholly(directed: np.ndarray) -> None:
    features = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    ours = groups.nearest(np.asarray(1 - unit @ unit.T, np.float32), 3)
    found = groups.agreement(ours, features)
    assert found == groups.Agreement(1.0, 3 / 7)


def test_a_class_that_is_only_in_one_group_is_found_by_fishers_test() -> None:
    from scipy.stats import fisher_exact

    labels = np.array([0] * 6 + [1] * 6)
    classes = ["a"] * 6 + ["b"] * 5 + [None]
    first = groups.enrichments(labels, classes)[0]
    assert (first.group, first.name, first.images) == (0, "a", 6)
    assert first.lift == pytest.approx(11 / 6)
    exact = fisher_exact([[6, 0], [0, 5]], alternative="greater").pvalue
    assert first.q == pytest.approx(exact)


def test_hubs_are_counted_over_all_neighbour_lists() -> None:
    assert groups.hub_counts(np.array([[1], [2], [1]])).tolist() == [0, 2, 1]
