"""Diagnostics as an artifact: of a file of vectors and its table, as Parquet, and read again."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf.diagnostics import DiagnosticsRecipe
from conf.projection import VectorSource
from conf.runtime import Runtime
from storage.diagnostics import LEAKS, SPLITS, SUSPECTS
from storage.drafts import Making
from storage.open import open_artifact
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.compute.diagnostics import Diagnostics
from tasks.diagnostics import coded, make_diagnostics, open_diagnostics
from tasks.projection.vectors import names_key, vectors_key

ROWS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactStore, Artifact]:
    """Two clear classes in two splits; row 3 is mislabelled, 10 is the twin of 11, 20 is NaN."""
    folder = tmp_path_factory.mktemp("vectors")
    classes = np.arange(ROWS) // 30
    vectors = np.random.default_rng(0).normal(size=(ROWS, 12)).astype(np.float32)
    vectors[:, 0] += 20 * classes - 10
    vectors[10] = vectors[11]
    vectors[20] = np.nan
    labels = np.array(["cat", "dog"])[classes]
    labels[3] = "dog"
    split = np.where(np.arange(ROWS) % 2, "train", "test")
    np.save(folder / "v.npy", vectors)
    table = pd.DataFrame({"file_name": [f"{row}.jpg" for row in range(ROWS)], "label": labels})
    table.assign(split=split).to_csv(folder / "names.csv", index=False)
    return make(folder, VectorSource(path=folder / "v.npy", names=folder / "names.csv"))


def make(folder: Path, source: VectorSource) -> tuple[ArtifactStore, Artifact]:
    store = ArtifactStore(folder / "store")
    runtime = Runtime(store=store.path, progress=False)
    vectors = vectors_key(source, runtime)
    names = names_key(source, vectors, runtime)
    recipe = DiagnosticsRecipe()
    making = Making(recipe, {"vectors": vectors, "names": names}, ("diagnostics",))
    with driving(store, making, part_rows=1) as draft:
        for part in draft.pending() if draft else ():
            make_diagnostics.fn(recipe, vectors, names, source=source, part=part, runtime=runtime)
        return store, seal(store, making.key)


def test_splits_are_a_line_each(made: tuple[ArtifactStore, Artifact]) -> None:
    splits = open_artifact(made[1], made[0]).table(SPLITS).set_index("split")
    assert splits["rows"].to_dict() == {"test": 29, "train": 30}, "the row with NaN is left out"
    assert (splits[["knn_accuracy", "probe_accuracy"]] > 0.9).all(axis=None)
    assert splits["why"].isna().all()


def test_a_wrong_label_and_a_twin_are_named_by_their_rows_in_the_file(
    made: tuple[ArtifactStore, Artifact],
) -> None:
    files = open_artifact(made[1], made[0])
    (suspect,) = files.table(SUSPECTS).to_dict("records")
    assert (suspect["row"], suspect["id"]) == (3, "3.jpg")
    assert (suspect["label"], suspect["suggested"]) == ("dog", "cat")
    first = files.table(LEAKS).to_dict("records")[0]
    assert (first["id"], first["other_id"]) == ("10.jpg", "11.jpg")
    assert first["cosine"] == pytest.approx(1)


def test_what_is_read_again_is_what_was_found(made: tuple[ArtifactStore, Artifact]) -> None:
    found = open_diagnostics(*made)
    assert isinstance(found, Diagnostics)
    assert found.reference == "train"
    assert found.rows == 59
    assert found.silhouette is not None
    assert [leak.row for leak in found.leaks][:1] == [10]


def test_vectors_without_names_have_one_split_and_no_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(6, dtype=np.float32))
    found = open_diagnostics(*make(tmp_path, VectorSource(path=tmp_path / "v.npy")))
    (score,) = found.splits
    assert (score.split, score.rows, score.why) == ("unspecified", 6, "no row has a label")


def test_values_are_numbered_in_their_order_and_missing_ones_are_not() -> None:
    codes, names = coded(["b", None, "a", "b"])
    assert codes.tolist() == [1, -1, 0, 1]
    assert names == ["a", "b"]


@pytest.mark.parametrize("field", ["neighbours", "folds", "least_cosine", "seed", "unit"])
def test_each_setting_changes_the_key(field: str) -> None:
    changed: dict[str, Any] = {
        "neighbours": 3, "folds": 2, "least_cosine": 0.9, "seed": 1, "unit": True
    }  # fmt: skip
    assert DiagnosticsRecipe(**{field: changed[field]}).key() != DiagnosticsRecipe().key()
