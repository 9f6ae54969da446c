"""Methods: the library's own result for the same seed and neighbours, and sense for odd inputs."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from conf.projection import (
    LocalmapMethod,
    Method,
    PacmapMethod,
    PcaMethod,
    TsneMethod,
    UmapMethod,
)
from tasks.compute.projection.embed import Scene, embed, jittered, neighbours_wanted
from tasks.compute.projection.graph import nearest_neighbours
from tasks.compute.projection.pca import fit_pca
from tasks.compute.projection.trust import trust

METHODS: tuple[Method, ...] = (PcaMethod(), UmapMethod(), TsneMethod(iterations=50))
AUTHORS: tuple[Method, ...] = (PacmapMethod(), LocalmapMethod())


def scene_of(points: np.ndarray, settings: Method, **more: Any) -> Scene:
    wanted = neighbours_wanted(settings.method, settings)
    return Scene(points, nearest_neighbours(points, wanted), seed=more.pop("seed", 3), **more)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    vectors = load_digits().data[:300].astype(np.float32)
    return fit_pca(vectors, 20).scores(vectors)


def by_scikit_learn(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    exact = points.astype(np.float64)
    judge = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(exact)
    far, near = judge.kneighbors(exact)
    return near.astype(np.int32), far.astype(np.float32)


def test_umap_is_umap_learns_own_for_the_same_seed_and_neighbours(digits: np.ndarray) -> None:
    from umap import UMAP

    settings = UmapMethod(neighbours=12, min_dist=0.2)
    ours = embed("umap", scene_of(digits, settings), settings)
    known = by_scikit_learn(digits, 12)
    with pytest.warns(UserWarning, match="not an NNDescent"):
        theirs = UMAP(
            n_neighbors=12, min_dist=0.2, random_state=3, n_jobs=1, precomputed_knn=known
        ).fit_transform(digits)
    np.testing.assert_allclose(ours.coords, theirs, atol=1e-4)


def test_tsne_is_opentsnes_own_for_the_same_seed_neighbours_and_start(digits: np.ndarray) -> None:
    from openTSNE import TSNE, affinity, nearest_neighbors

    settings = TsneMethod(perplexity=20, iterations=60, early_iterations=40)
    ours = embed("tsne", scene_of(digits, settings), settings)
    near, far = by_scikit_learn(digits, 61)
    index = nearest_neighbors.PrecomputedNeighbors(near[:, 1:], far[:, 1:].astype(float))
    theirs = TSNE(
        early_exaggeration_iter=40, n_iter=60, negative_gradient_method="bh", random_state=3
    ).fit(
        affinities=affinity.PerplexityBasedNN(knn_index=index, perplexity=20),
        initialization=jittered(digits[:, :2].copy(), 1e-4, 3),
    )
    np.testing.assert_allclose(ours.coords, theirs, rtol=1e-3, atol=1e-4)


def test_threads_change_no_bit_of_a_map(digits: np.ndarray) -> None:
    settings = TsneMethod(iterations=30, early_iterations=20)
    one, two = (
        embed("tsne", scene_of(digits, settings, threads=threads), settings) for threads in (1, 2)
    )
    assert (one.coords == two.coords).all()


@pytest.mark.parametrize("settings", METHODS[1:], ids=lambda one: one.method)
def test_a_map_is_the_same_for_the_same_seed_and_can_be_trusted(
    digits: np.ndarray, settings: Method
) -> None:
    scene = scene_of(digits, settings)
    first, again = (embed(settings.method, scene, settings).coords for _ in range(2))
    assert (first == again).all()
    assert trust(digits, first).summary().trustworthiness.value > 0.93


@pytest.mark.parametrize("settings", AUTHORS, ids=lambda one: one.method)
def test_the_authors_package_draws_a_map_that_can_be_trusted(
    digits: np.ndarray, settings: Method
) -> None:
    pytest.importorskip("pacmap", reason="extra pacmap is not installed")
    found = embed(settings.method, scene_of(digits, settings), settings)
    assert trust(digits, found.coords).summary().trustworthiness.value > 0.93


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("settings", [*METHODS, *AUTHORS], ids=lambda one: one.method)
def test_a_few_rows_are_mapped_by_their_components_and_a_note_says_so(
    digits: np.ndarray, settings: Method, rows: int
) -> None:
    found = embed(settings.method, scene_of(digits[:rows], settings), settings)
    assert (found.coords == digits[:rows, :2]).all()
    if settings.method != "pca":
        expected = f"too few rows for {settings.method} ({rows}): this is the map of the first"
        assert found.notes[0].startswith(expected)


@pytest.mark.parametrize("rows", [5, 7, 12])
@pytest.mark.parametrize("settings", METHODS[1:], ids=lambda one: one.method)
def test_where_there_are_fewer_neighbours_than_asked_for_the_map_is_drawn_with_those(
    digits: np.ndarray, settings: Method, rows: int
) -> None:
    found = embed(settings.method, scene_of(digits[:rows], settings), settings)
    assert np.isfinite(found.coords).all()
    assert found.coords.std() > 0
    assert " instead of " in found.notes[0]


@pytest.mark.parametrize("settings", AUTHORS, ids=lambda one: one.method)
def test_the_authors_package_takes_the_neighbours_there_are(
    digits: np.ndarray, settings: Method
) -> None:
    pytest.importorskip("pacmap", reason="extra pacmap is not installed")
    found = embed(settings.method, scene_of(digits[:5], settings), settings)
    assert np.isfinite(found.coords).all()
    assert found.coords.std() > 0
    assert found.notes == ("4 neighbours instead of 10: there are no more",)


@pytest.mark.parametrize("settings", [*METHODS[1:], *AUTHORS], ids=lambda one: one.method)
def test_vectors_of_one_number_are_mapped(digits: np.ndarray, settings: Method) -> None:
    if settings in AUTHORS:
        pytest.importorskip("pacmap", reason="extra pacmap is not installed")
    found = embed(settings.method, scene_of(digits[:30, :1].copy(), settings), settings)
    assert np.isfinite(found.coords).all()
    assert found.coords.std() > 0


@pytest.mark.parametrize("settings", METHODS, ids=lambda one: one.method)
def test_constant_vectors_are_one_place(settings: Method) -> None:
    points = np.zeros((30, 3), np.float32)
    found = embed(settings.method, scene_of(points, settings), settings)
    assert (found.coords == 0).all()


@pytest.mark.parametrize("settings", METHODS[1:], ids=lambda one: one.method)
def test_duplicates_stand_near_one_another(digits: np.ndarray, settings: Method) -> None:
    points = np.concatenate([digits[:100], digits[:100]])
    coords = embed(settings.method, scene_of(points, settings), settings).coords
    assert np.isfinite(coords).all()
    apart = np.linalg.norm(coords[:100] - coords[100:], axis=1)
    assert np.median(apart) < 0.2 * coords.std()


@pytest.mark.parametrize("settings", METHODS[1:], ids=lambda one: one.method)
def test_a_refit_stays_where_it_began(digits: np.ndarray, settings: Method) -> None:
    from tasks.compute.projection.procrustes import align

    first = embed(settings.method, scene_of(digits, settings), settings).coords
    turned = np.ascontiguousarray(first @ np.array([[0, 1], [-1, 0]], np.float32))
    again = embed(settings.method, scene_of(digits, settings, start=turned, seed=9), settings)
    # Not turned back: the start decides, not the method's own.
    as_turned, as_first = (
        np.corrcoef(again.coords[:, 0], one[:, 0])[0, 1] for one in (turned, first)
    )
    assert as_turned > max(0.6, abs(as_first))
    assert align(again.coords, turned).disparity < 0.4
