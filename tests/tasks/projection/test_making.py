"""The chain of a map, task by task: rows that fail, maps that grow, files that change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conf.keys import ArtifactKey
from conf.projection import (
    ExtensionRecipe,
    MapRecipe,
    PcaMethod,
    PcaRecipe,
    TrustRecipe,
    VectorSource,
)
from conf.runtime import Runtime
from storage.drafts import Making
from storage.projection import MapFiles
from storage.projection.errors import BadVectors
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.projection.making import (
    extend_map,
    judge_map,
    make_components,
    make_map,
    map_inputs,
    trust_inputs,
)
from tasks.projection.torch_files import read_tensor, write_tensor
from tasks.projection.vectors import (
    VectorsChanged,
    names_key,
    read_vectors,
    usable_vectors,
    vectors_key,
)


class Scene:
    """Maps of .npy files in a folder, by their first two components."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = Runtime(store=folder / "store", lanes=1, progress=False)
        self.store = ArtifactStore(self.runtime.store)

    def save(self, name: str, values: np.ndarray) -> tuple[VectorSource, ArtifactKey]:
        np.save(self.folder / name, values)
        source = VectorSource(path=self.folder / name)
        return source, vectors_key(source, self.runtime)

    def make(
        self, making: Making, task: Callable[..., Any], *inputs: Any, **given: Any
    ) -> Artifact:
        with driving(self.store, making) as draft:
            for part in draft.pending() if draft else ():
                task(making.recipe, *inputs, part=part, runtime=self.runtime, **given)
            return seal(self.store, making.key)

    def components(self, source: VectorSource, key: ArtifactKey, dims: int | None = 4) -> Artifact:
        making = Making(PcaRecipe(dims=dims), {"vectors": key}, ("components",))
        return self.make(making, make_components.fn, key, source=source)

    def map(self, pca: Artifact, parent: Artifact | None = None) -> Artifact:
        inputs = map_inputs(self.store, pca, None, parent)
        making = Making(MapRecipe(settings=PcaMethod()), inputs, ("map",))
        return self.make(making, make_map.fn, pca, None, parent)

    def extend(
        self, source: VectorSource, key: ArtifactKey, parent: Artifact, pca: Artifact
    ) -> MapFiles:
        keys = {"parent": self.store.key_of(parent), "pca": self.store.key_of(pca)}
        making = Making(ExtensionRecipe(), {"vectors": key, **keys}, ("map",))
        made = self.make(making, extend_map.fn, key, parent, pca, source=source, unit=False)
        return MapFiles(self.store, made)

    def judge(self, source: VectorSource, key: ArtifactKey, drawn: Artifact) -> MapFiles:
        making = Making(TrustRecipe(), trust_inputs(self.store, key, drawn, ()), ("trust",))
        return MapFiles(self.store, self.make(making, judge_map.fn, key, drawn, (), source=source))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32)


def test_a_row_that_is_not_finite_is_kept_with_its_reason_and_has_no_place(
    scene: Scene, vectors: np.ndarray
) -> None:
    vectors[[5, 20], 3] = np.nan, np.inf
    source, key = scene.save("v.npy", vectors)
    drawn = scene.map(scene.components(source, key))
    found = MapFiles(scene.store, drawn)
    assert found.coords.shape == (60, 2)
    assert np.flatnonzero(np.isnan(found.coords).any(axis=1)).tolist() == [5, 20]
    assert found.rows["status"].value_counts().to_dict() == {"ok": 58, "failed": 2}
    assert found.rows["reason"][5] == "not finite: NaN or infinite"
    judged = scene.judge(source, key, drawn)
    assert judged.facts["points"] == 58
    points = judged.table("points.parquet")
    assert np.flatnonzero(points["trustworthiness"].isna()).tolist() == [5, 20]


def test_vectors_of_which_none_can_be_mapped_are_refused(scene: Scene) -> None:
    source, key = scene.save("v.npy", np.full((3, 2), np.nan))
    with pytest.raises(BadVectors, match="None of the 3 vectors can be mapped: the first is not"):
        scene.components(source, key)


def test_vectors_of_which_no_distance_can_be_told_are_refused_unless_directions_are_compared(
    scene: Scene, vectors: np.ndarray
) -> None:
    source, key = scene.save("v.npy", vectors * np.float32(1e-30))
    with pytest.raises(BadVectors, match=r"largest number of all vectors is 4e-30: squares of"):
        scene.components(source, key)
    usable, reasons = usable_vectors(source, key, scene.runtime, unit=True)
    np.testing.assert_allclose(np.linalg.norm(usable, axis=1), 1, rtol=1e-5)
    assert set(reasons) == {None}


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_so_few_rows_have_a_map_and_trust_where_there_can_be_any(
    scene: Scene, vectors: np.ndarray, rows: int
) -> None:
    source, key = scene.save("v.npy", vectors[:rows])
    drawn = scene.map(scene.components(source, key))
    assert np.isfinite(MapFiles(scene.store, drawn).coords).all()
    facts = scene.judge(source, key, drawn).facts
    assert ("trustworthiness" in facts) == (rows >= 3)
    assert rows >= 3 or "too few points to compare neighbourhoods" in facts["reason"]


def test_without_components_the_map_is_of_the_vectors_themselves(
    scene: Scene, vectors: np.ndarray
) -> None:
    source, key = scene.save("v.npy", vectors)
    drawn = scene.map(scene.components(source, key, dims=None))
    np.testing.assert_array_equal(MapFiles(scene.store, drawn).coords, vectors[:, :2])


# Maps that grow


def test_an_extension_moves_no_old_row_and_places_each_new_one_alone(
    scene: Scene, vectors: np.ndarray
) -> None:
    source, key = scene.save("old.npy", vectors[:40])
    pca = scene.components(source, key)
    old = scene.map(pca)
    order = np.random.default_rng(1).permutation(60)
    all_of = scene.extend(*scene.save("all.npy", vectors[order]), old, pca)
    before = MapFiles(scene.store, old).coords
    for row, number in enumerate(order):
        assert all_of.rows["is_new"][row] == (number >= 40)
        if number < 40:
            assert (all_of.coords[row] == before[number]).all()
    new = int(np.flatnonzero(order >= 40)[7])
    alone = scene.extend(*scene.save("one.npy", vectors[order[new]][None]), old, pca)
    assert (alone.coords[0] == all_of.coords[new]).all()
    score = all_of.rows["in_distribution"].to_numpy()
    assert np.isnan(score[order < 40]).all()
    assert ((score[order >= 40] > 0) & (score[order >= 40] <= 1)).all()
    assert all_of.facts["placed"] == 20
    assert all_of.facts["kept"] == 40


def test_vectors_of_another_width_do_not_extend_a_map(scene: Scene, vectors: np.ndarray) -> None:
    source, key = scene.save("old.npy", vectors)
    pca = scene.components(source, key)
    old = scene.map(pca)
    with pytest.raises(BadVectors, match=r"new vectors have 5 dimensions, those of the map .* 7"):
        scene.extend(*scene.save("new.npy", vectors[:, :5]), old, pca)


def test_a_refit_is_laid_onto_the_old_map_and_says_how_far_points_moved(
    scene: Scene, vectors: np.ndarray
) -> None:
    source, key = scene.save("old.npy", vectors[:50])
    old = scene.map(scene.components(source, key))
    grown = scene.components(*scene.save("all.npy", vectors[::-1].copy()))
    again = MapFiles(scene.store, scene.map(grown, old))
    moved = again.facts["moves"]
    assert moved["points"] == 50
    before = MapFiles(scene.store, old).coords
    far = np.linalg.norm(again.coords[::-1][:50] - before, axis=1)
    radius = np.sqrt(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert moved["median"] == pytest.approx(np.median(far) / radius, rel=1e-3)
    assert moved["largest"] == pytest.approx(far.max() / radius, rel=1e-3)


def test_a_refit_of_other_rows_is_refused(scene: Scene, vectors: np.ndarray) -> None:
    source, key = scene.save("old.npy", vectors[:30])
    old = scene.map(scene.components(source, key))
    other = scene.components(*scene.save("other.npy", vectors[30:]))
    with pytest.raises(BadVectors, match="0 of the 30 rows are on the map"):
        scene.map(other, old)


# Files


def test_a_file_that_changed_since_its_key_was_made_is_not_mapped(
    scene: Scene, vectors: np.ndarray
) -> None:
    source, key = scene.save("v.npy", vectors)
    np.save(scene.folder / "v.npy", vectors + 1)
    with pytest.raises(VectorsChanged, match="was changed while maps were made of it"):
        read_vectors(source, key, scene.runtime)


def test_new_labels_name_other_names_and_the_same_vectors(
    scene: Scene, vectors: np.ndarray
) -> None:
    write_tensor(scene.folder / "embeddings.pt", vectors)
    (scene.folder / "metadata.csv").write_text("file_name\n" + "a\n" * 60)
    source = VectorSource(path=scene.folder)
    key = vectors_key(source, scene.runtime)
    before = names_key(source, key, scene.runtime)
    (scene.folder / "metadata.csv").write_text("file_name\n" + "b\n" * 60)
    assert vectors_key(source, scene.runtime) == key
    assert names_key(source, key, scene.runtime) != before


def test_a_tensor_of_half_precision_becomes_float32(tmp_path: Path) -> None:
    torch.save(torch.ones(3, 2, dtype=torch.bfloat16), tmp_path / "t.pt")
    assert read_tensor(tmp_path / "t.pt").dtype == np.float32


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_file_that_would_have_to_run_code_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), tmp_path / "embeddings.pt")
    with pytest.raises(BadVectors, match="which only running its code could tell; it is not"):
        read_tensor(tmp_path / "embeddings.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [({"x": torch.ones(2)}, "holds a dict of x, not one tensor"), ([1], "not one tensor")],
)
def test_what_is_no_tensor_is_told(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "t.pt")
    with pytest.raises(BadVectors, match=said):
        read_tensor(tmp_path / "t.pt")


def test_a_torn_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(BadVectors, match=r"is not a file of torch\.save|could tell"):
        read_tensor(tmp_path / "t.pt")
