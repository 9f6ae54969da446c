"""New rows on an old map: each alone, the same whatever comes with it."""

import numpy as np
import pytest

from tasks.compute.projection.pca import fit_pca
from tasks.compute.projection.place import Reference, differing, match_rows, place


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, Reference]:
    draw = np.random.default_rng(0)
    centres = draw.normal(0, 4, (3, 30))
    vectors = (centres[np.arange(240) % 3] + draw.normal(size=(240, 30))).astype(np.float32)
    known = vectors[:200]
    pca = fit_pca(known, 8)
    scores = pca.scores(known)
    rest = known - pca.mean - scores @ pca.components
    corners = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    coords = corners[np.arange(200) % 3] + 0.1 * draw.normal(size=(200, 2)).astype(np.float32)
    residuals = np.linalg.norm(rest, axis=1).astype(np.float32)
    coords = coords.astype(np.float32)
    return vectors, Reference(pca.mean, pca.components, scores, residuals, coords)


def test_a_row_alone_stands_where_it_stands_among_others_to_the_last_bit(
    scene: tuple[np.ndarray, Reference],
) -> None:
    vectors, reference = scene
    new = vectors[200:]
    together = place(new, reference, 10)
    shuffled = place(np.ascontiguousarray(new[::-1]), reference, 10)
    assert (shuffled.coords[::-1] == together.coords).all()
    for at in range(0, 40, 7):
        alone = place(new[at : at + 1], reference, 10)
        assert (alone.coords[0] == together.coords[at]).all()
        assert alone.in_distribution[0] == together.in_distribution[at]


def test_a_new_row_stands_in_its_own_cluster_not_between_two(
    scene: tuple[np.ndarray, Reference],
) -> None:
    vectors, reference = scene
    corners = np.array([[0, 0], [10, 0], [0, 10]])[np.arange(200, 240) % 3]
    found = place(vectors[200:], reference, 10).coords
    assert np.linalg.norm(found - corners, axis=1).max() < 1


def test_the_twin_of_an_old_row_stands_on_it(scene: tuple[np.ndarray, Reference]) -> None:
    vectors, reference = scene
    found = place(vectors[:200], reference, 10).coords
    np.testing.assert_allclose(found, reference.coords, atol=1e-3)


def test_rows_like_the_old_ones_score_evenly_and_strange_ones_near_nothing(
    scene: tuple[np.ndarray, Reference],
) -> None:
    vectors, reference = scene
    like = place(vectors[200:], reference, 10).in_distribution
    assert 0.25 < like.mean() < 0.75
    # Strange beside the components, where the scores alone would see nothing.
    beside = np.random.default_rng(1).normal(0, 9, (5, 30))
    beside -= beside @ reference.components.T @ reference.components
    strange = place((vectors[200:205] + beside).astype(np.float32), reference, 10)
    assert strange.in_distribution.max() <= 1 / 100


def test_one_old_row_places_nothing(scene: tuple[np.ndarray, Reference]) -> None:
    vectors, full = scene
    one = Reference(
        full.mean, full.components, full.scores[:1], full.residuals[:1], full.coords[:1]
    )
    with pytest.raises(ValueError, match="1 old rows place nothing: 2 is the least"):
        place(vectors[:2], one, 10)


def test_rows_are_matched_by_id_and_repeated_ids_in_order() -> None:
    assert match_rows(["b", "x", "a", "b", "b"], ["a", "b", "b"]).tolist() == [1, -1, 0, 2, -1]


def test_an_old_id_with_another_vector_is_told() -> None:
    matched = np.array([1, -1, 0])
    assert differing(matched, ["p", "q", "r"], ["r", "s"]).tolist() == [True, False, False]
