"""Matrices made by the real tasks of rendered scenes: resumed, grown, cut otherwise."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from conf.keys import ArtifactKey
from conf.losses import LossMatrixRecipe
from conf.sources.cells import Source
from storage.detections import Detections
from storage.detections.both import validate
from storage.errors import StoreError, UnknownArtifact
from storage.images import ImageFeatures
from storage.losses import LossClusters, LossMatrix
from storage.losses.database import write_distances
from tasks.compute.losses.groups import agreement, dissimilarity, nearest, symmetric
from tasks.losses import backends, pairs_to_compute, targets_in
from tasks.losses.backends import Columns, Sparse
from tasks.losses.groups import TooFewImages
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Raw

SIZE_PX, LAYERS = 192, (16, 19, 22)


@pytest.fixture(scope="session")
def six(world: Any) -> LossMatrix:
    return LossMatrix(world.store, world.matrix(6))


def test_a_pair_is_what_the_stock_criterion_says_of_the_stored_detections(
    world: Any, six: LossMatrix
) -> None:
    source = Source(count=6, size_px=SIZE_PX)
    dataset, _, found = world.detections(source)
    reader = Detections(world.store, found)
    detector = load_detector(world.model, world.runtime, SIZE_PX, LAYERS)
    from tasks.dataset import open_contents

    image = open_contents(dataset, source, world.runtime).image(six.contents[2])
    raw = detector.forward(detector.letterbox(np.asarray(image)).pixels[None])
    stock = detector.stock_losses(raw, 0, targets_in(reader, six.contents[4]))
    assert six.targets[4] > 0
    assert six.dist(2, 4) == pytest.approx(stock, rel=1e-4, abs=1e-5)
    assert six.dist(six.contents[2], six.contents[4][:12]) == six.dist(2, 4)


def test_parts_of_other_sizes_give_the_same_matrix(
    six: LossMatrix, new_world: Callable[..., Any]
) -> None:
    other = new_world()
    whole = LossMatrix(other.store, other.matrix(6, part_rows=6))
    assert set(whole.contents) == set(six.contents)
    order = [whole.place(content) for content in six.contents]
    for component in six.components:
        found = whole.matrix(component)[np.ix_(order, order)]
        np.testing.assert_allclose(found, six.matrix(component), rtol=1e-5, atol=1e-5)


def test_a_grown_matrix_computes_only_new_rows_and_columns(
    world: Any, six: LossMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []

    class Counting(Sparse):
        def row(self, raw: Raw) -> Columns:
            row = super().row(raw)
            widths.append(row.losses.shape[1])
            return row

    monkeypatch.setattr(backends, "Sparse", Counting)
    grown = LossMatrix(world.store, world.matrix(8))
    assert sorted(widths) == [2] * 6 + [8] * 2
    old = [grown.place(content) for content in six.contents]
    np.testing.assert_array_equal(grown.total()[np.ix_(old, old)], six.total())
    np.testing.assert_array_equal(grown.normalisers()[np.ix_(old, old)], six.normalisers())
    recipe, key = recipe_of(grown), world.store.key_of(grown.artifact)
    assert pairs_to_compute(world.store, recipe, key, grown.contents) == (
        "2 new images beside 6 known: 28 of 64 pairs are computed, the others taken over"
    )


def recipe_of(matrix: LossMatrix) -> LossMatrixRecipe:
    return LossMatrixRecipe.model_validate(matrix.manifest.recipe)


def test_where_no_pair_is_known_it_is_said_why_all_are_computed(
    world: Any, six: LossMatrix
) -> None:
    recipe, new = recipe_of(six), ArtifactKey("loss-matrix", 1, "0" * 16)
    told = pairs_to_compute(world.store, recipe, new, ["1" * 64, "2" * 64])
    assert told == "none of the 2 images was compared before: every pair is computed"
    other = recipe.model_copy(update={"size_px": SIZE_PX + 32})
    told = pairs_to_compute(world.store, other, new, six.contents)
    assert told == "another model, size, threshold or backend: every pair is computed"


def test_a_matrix_that_was_stopped_within_a_block_goes_on_after_the_last_sealed_one(
    world: Any, six: LossMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Raw] = []

    class Stopping(Sparse):
        def row(self, raw: Raw) -> Columns:
            begun.append(raw)
            if len(begun) == 5:  # the second row of the second block
                raise KeyboardInterrupt
            return super().row(raw)

    monkeypatch.setattr(backends, "Sparse", Stopping)
    with pytest.raises(KeyboardInterrupt):
        world.matrix(6, part_rows=3, database_images=7)
    resumed = LossMatrix(world.store, world.matrix(6, part_rows=3, database_images=7))
    assert len(begun) == 5 + 3
    np.testing.assert_array_equal(resumed.total(), six.total())


def test_the_stock_backend_agrees_and_has_a_key_of_its_own(world: Any, six: LossMatrix) -> None:
    slow = LossMatrix(world.store, world.matrix(6, backend="stock"))
    assert slow.artifact.key != six.artifact.key
    np.testing.assert_allclose(slow.total(), six.total(), rtol=1e-4, atol=1e-4)
    assert np.isnan(slow.normalisers()).all()


def test_regret_is_what_another_image_costs_beside_ones_own(six: LossMatrix) -> None:
    regret = six.regret("cls")
    assert np.all(regret.diagonal() == 0)
    assert regret[1, 3] == six.dist(1, 3)["cls"] - six.dist(1, 1)["cls"]
    together = np.sum([six.regret(name) for name in six.components], axis=0)
    np.testing.assert_allclose(six.regrets_of(1), together[1], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(six.regrets_of(six.contents[1]), six.regrets_of(1))


def test_distances_db_has_a_row_a_component_of_every_pair(six: LossMatrix) -> None:
    with closing(sqlite3.connect(six.database)) as opened:
        (count,) = opened.execute("SELECT COUNT(*) FROM distances").fetchone()
        row = opened.execute(
            "SELECT d.distance FROM distances d JOIN images i ON i.img_id = d.img_i "
            "JOIN images j ON j.img_id = d.img_j "
            "WHERE i.sha256 = ? AND j.sha256 = ? AND d.component = 'box'",
            (six.contents[1], six.contents[2]),
        ).fetchone()
        components = opened.execute("SELECT DISTINCT component FROM distances").fetchall()
    assert count == 6 * 6 * 4
    assert row[0] == six.dist(1, 2)["box"]
    assert {name for (name,) in components} == {"box", "cls", "dfl", "seg"}


def test_a_database_of_too_many_images_is_empty_until_it_is_exported(
    world: Any, tmp_path: Any
) -> None:
    large = LossMatrix(world.store, world.matrix(6, database_images=5))
    with closing(sqlite3.connect(large.database)) as opened:
        assert opened.execute("SELECT COUNT(*) FROM distances").fetchone() == (0,)
        assert opened.execute("SELECT COUNT(*) FROM images").fetchone() == (6,)
    found = world.detections(Source(count=6, size_px=SIZE_PX))[2]
    features = Detections(world.store, found).database
    checks = validate(features, large.database)
    assert [check for check in checks if not check.passed] == []
    assert "36 pairs are left out, `featuremill losses export" in " ".join(c.name for c in checks)
    assert "distances of all pairs" not in " ".join(check.name for check in checks)
    assert write_distances([large], tmp_path / "all.db") == 144
    whole = validate(features, tmp_path / "all.db")
    assert [check for check in whole if not check.passed] == []
    assert "distances of all pairs" in " ".join(check.name for check in whole)
    with closing(sqlite3.connect(tmp_path / "all.db")) as opened:
        assert opened.execute("SELECT COUNT(*) FROM distances").fetchone() == (144,)


def test_two_matrices_of_one_run_are_not_merged(six: LossMatrix, tmp_path: Any) -> None:
    with pytest.raises(StoreError, match="Two matrices are of the run detections-v1-"):
        write_distances([six, six], tmp_path / "twice.db")
    assert list(tmp_path.iterdir()) == []


def test_both_databases_agree_with_each_other(world: Any, six: LossMatrix) -> None:
    _, _, found = world.detections(Source(count=6, size_px=SIZE_PX))
    checks = validate(Detections(world.store, found).database, six.database)
    assert "distances of all pairs" in " ".join(check.name for check in checks)
    assert [check.faults for check in checks if not check.passed] == []


def test_images_and_components_that_are_not_there_are_named(six: LossMatrix) -> None:
    with pytest.raises(UnknownArtifact, match=r"There is no image 6 .* it has 0 to 5"):
        six.dist(0, 6)
    with pytest.raises(UnknownArtifact, match=r"'zz' names no image .* no image begins so"):
        six.dist("zz", 0)
    with pytest.raises(StoreError, match=r"no 'l1' losses. Its head has: box, cls, dfl, seg"):
        six.matrix("l1")


def test_groups_are_explained_and_shown(world: Any, six: LossMatrix) -> None:
    found = LossClusters(world.store, world.groups(six.artifact, 6))
    assert list(found.images["content_sha256"]) == list(six.contents)
    assert sorted(found.images["position"]) == list(range(6))
    assert found.trees["nonreciprocal"].shape == (5, 4)
    assert 0 < found.summary["asymmetry"] <= 1
    assert 0 <= found.summary["direction_gap"] < 1
    assert set(found.summary["medoids"].values()) <= set(six.contents)
    page = found.page.read_text()
    assert "data:image/jpeg" in page
    assert "Loss matrix of 6 images" in page


def test_neighbours_are_compared_with_those_of_an_encoder_where_one_is_named(
    world: Any, six: LossMatrix
) -> None:
    features = world.encoded(6)
    alone = LossClusters(world.store, world.groups(six.artifact, 6))
    beside = LossClusters(world.store, world.groups(six.artifact, 6, features))
    assert alone.summary["agreement_with_encoder"] is None is alone.summary["encoder"]
    assert beside.summary["encoder"] == "toy"
    both = symmetric(dissimilarity(six.total(), "regret"), "max")
    pooled = ImageFeatures(world.store, features).pooled(six.contents).astype(np.float32)
    wanted = agreement(nearest(both, 2), pooled)
    assert wanted is not None
    assert beside.summary["agreement_with_encoder"] == asdict(wanted)
    assert "also nearest by the features of toy; by chance 40.0%" in beside.page.read_text()
    assert "features of toy" not in alone.page.read_text()
    assert beside.summary["groups"] == alone.summary["groups"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_matrix_may_be_small_but_too_small_for_groups(world: Any, count: int) -> None:
    made = world.matrix(count)
    assert LossMatrix(world.store, made).total().shape == (count, count)
    with pytest.raises(TooFewImages, match=f"of {count} images: groups take 3 or more"):
        world.groups(made, count)


def test_three_images_are_grouped(world: Any) -> None:
    found = LossClusters(world.store, world.groups(world.matrix(3), 3))
    assert found.trees["mean"].shape == (2, 4)
    assert sorted(found.images["position"]) == [0, 1, 2]
