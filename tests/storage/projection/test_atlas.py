"""The table that embedding-atlas opens: its columns, their types, and what is missing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.projection import PageRecipe
from storage.drafts import Making
from storage.kinds import find_kind
from storage.parts import PartWriter
from storage.projection.atlas import ATLAS, write_atlas
from storage.projection.maps import PAGE, write_text
from storage.publishing import driving, seal
from storage.store import ArtifactStore


@pytest.fixture
def table(tmp_path: Path) -> Any:
    write_atlas(
        cast(PartWriter, SimpleNamespace(folder=tmp_path)),
        ["a.jpg", "not \udcff utf-8", "c.jpg"],
        np.array([[1, 2], [np.nan, np.nan], [5, 6]], np.float32),
        {
            "label": ["cat", None, "dog"],
            "score": np.array([0.5, np.nan, 1], np.float32),
            "text": ["one", "two", "three"],
        },
        neighbours=np.array([[2, -1], [-1, -1], [0, 1]], np.int32),
        distances=np.array([[0.5, np.nan], [np.nan, np.nan], [0.5, 0.75]], np.float32),
        images=[b"jpeg", None, b"other"],
    )
    return pq.read_table(tmp_path / ATLAS)


def test_places_are_numbers_and_null_without_a_place(table: Any) -> None:
    assert table["projection_x"].to_pylist() == [1, None, 5]
    assert table["projection_y"].to_pylist() == [2, None, 6]


def test_neighbours_are_a_struct_of_row_numbers_and_distances(table: Any) -> None:
    assert table["neighbors"].to_pylist() == [
        {"ids": [2], "distances": [0.5]},
        None,
        {"ids": [0, 1], "distances": [0.5, 0.75]},
    ]
    kinds = {field.name: field.type for field in table.schema.field("neighbors").type}
    assert kinds == {"ids": pa.list_(pa.int64()), "distances": pa.list_(pa.float32())}


def test_an_image_is_a_struct_of_its_bytes(table: Any) -> None:
    assert table["image"].to_pylist() == [
        {"bytes": b"jpeg", "path": None},
        None,
        {"bytes": b"other", "path": None},
    ]


def test_missing_labels_and_scores_are_null(table: Any) -> None:
    assert table["label"].to_pylist() == ["cat", None, "dog"]
    assert table["score"].to_pylist() == [0.5, None, 1]


def test_a_column_called_like_one_of_ours_is_kept_under_another_name(table: Any) -> None:
    assert table["text"].to_pylist() == ["a.jpg", "not \N{REPLACEMENT CHARACTER} utf-8", "c.jpg"]
    assert table["text_"].to_pylist() == ["one", "two", "three"]


def test_a_page_is_exported_as_the_page_or_as_its_table(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    making = Making(PageRecipe(title="digits"), {}, ("page",))
    with driving(store, making, part_rows=1) as draft:
        assert draft is not None
        with draft.write_part(draft.pending()[0]) as writer:
            write_text(writer, PAGE, "<!doctype html>")
            write_atlas(writer, ["a"], np.zeros((1, 2), np.float32), {})
        artifact = seal(store, making.key)
    export = find_kind("projection-page").write_bundle
    assert export is not None
    export(store, artifact, tmp_path / "map.html")
    export(store, artifact, tmp_path / "map.parquet")
    assert (tmp_path / "map.html").read_text() == "<!doctype html>"
    assert pq.read_table(tmp_path / "map.parquet")["text"].to_pylist() == ["a"]
