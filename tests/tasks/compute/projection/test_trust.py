"""Trust: scikit-learn's figures, from samples, within the error that they state."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from tasks.compute.projection.trust import TrustSummary, trust


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(900, 20)).astype(np.float32)
    coords = vectors[:, :2] + 0.3 * draw.normal(size=(900, 2)).astype(np.float32)
    return vectors, coords.astype(np.float32)


def test_of_all_points_it_is_the_trustworthiness_of_scikit_learn(
    scene: tuple[np.ndarray, np.ndarray],
) -> None:
    vectors, coords = scene
    found = trust(vectors, coords, neighbours=7, anchors=900).summary()
    assert found.trustworthiness.value == pytest.approx(
        trustworthiness(vectors, coords, n_neighbors=7), abs=1e-6
    )
    assert found.continuity.value == pytest.approx(
        trustworthiness(coords, vectors, n_neighbors=7), abs=1e-6
    )
    assert found.trustworthiness.standard_error == 0


def test_a_sample_is_within_its_stated_error_as_often_as_it_says(
    scene: tuple[np.ndarray, np.ndarray],
) -> None:
    vectors, coords = scene
    exact = trustworthiness(vectors, coords, n_neighbors=10)
    found = [trust(vectors, coords, anchors=150, seed=seed).summary() for seed in range(40)]
    off = [
        abs(one.trustworthiness.value - exact) / one.trustworthiness.standard_error for one in found
    ]
    assert 0.5 < np.mean(np.array(off) < 1) < 0.85  # 0.68 of a normal distribution
    assert max(off) < 4


def test_recall_is_the_share_of_neighbours_that_are_kept() -> None:
    line = np.arange(40, dtype=np.float32)[:, None] ** 1.5
    vectors = np.hstack([line, np.zeros_like(line)])
    assert trust(vectors, vectors, neighbours=4).summary().recall.value == 1
    folded = np.stack([np.arange(40) % 20, np.zeros(40)], axis=1).astype(np.float32)
    found = trust(vectors, folded, neighbours=4)
    assert found.summary().recall.value < 0.7
    assert found.summary().trustworthiness.value < 0.8


def test_a_torn_map_is_trusted_and_not_continuous_a_folded_one_the_other_way_round() -> None:
    draw = np.random.default_rng(3)
    sheet = draw.uniform(size=(400, 2)).astype(np.float32)
    torn = sheet + 5 * (sheet[:, :1] > 0.5).astype(np.float32)
    of_torn, of_folded = trust(sheet, torn).summary(), trust(torn, sheet).summary()
    assert of_torn.trustworthiness.value > of_torn.continuity.value
    assert of_folded.trustworthiness.value < of_folded.continuity.value


def test_misplaced_points_are_the_least_trusted() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    coords = vectors.copy()
    coords[:3] = vectors[[100, 101, 102]]
    found = trust(vectors, coords, anchors=300)
    assert set(np.argsort(found.trustworthiness)[:3]) == {0, 1, 2}


@pytest.mark.parametrize(("points", "k"), [(3, 1), (5, 2), (21, 10)])
def test_a_neighbourhood_is_smaller_than_half_of_the_points(points: int, k: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(points, 4)).astype(np.float32)
    found = trust(vectors, vectors[:, :2].copy(), neighbours=10)
    assert found.neighbours == k
    assert (found.notes != ()) == (k < 10)
    assert 0 <= found.summary().trustworthiness.value <= 1


@pytest.mark.parametrize("points", [1, 2])
def test_two_points_have_no_neighbourhood(points: int) -> None:
    vectors = np.zeros((points, 2), np.float32)
    with pytest.raises(
        ValueError, match=f"too few points to compare neighbourhoods: {points}; 3 is"
    ):
        trust(vectors, vectors)


def test_a_summary_survives_json(scene: tuple[np.ndarray, np.ndarray]) -> None:
    found = trust(*scene, anchors=20).summary()
    assert TrustSummary.from_json(found.as_json() | {"notes": []}) == found
    assert found.shown()["anchors"] == "20 of 900 points"
