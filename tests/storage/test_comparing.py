from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf.errors import RecipeError
from storage.comparing import compare, moved_tables, moved_vectors
from storage.store import ArtifactStore


def test_rows_added_gone_and_shared_are_counted(features: Any) -> None:
    old, new = features.make([1, 2, 3, 4]), features.make([3, 4, 5])
    found = compare(features.store, old, new)
    assert (found.rows_added, found.rows_gone, found.rows_shared) == (1, 2, 2)
    assert found.fields == ["rows: 1 new, 2 gone"]
    (moved,) = found.moved
    assert moved.startswith("vectors: cosine to the older one 1.000000 in the median")


def test_two_kinds_cannot_be_compared(own_store: Path) -> None:
    store = ArtifactStore(own_store)
    one, other = store.resolve("small/features"), store.resolve("small/labels")
    with pytest.raises(
        RecipeError, match="are of different kinds: image-features and image-labels"
    ):
        compare(store, one, other)


def test_an_artifact_does_not_differ_from_itself(own_store: Path) -> None:
    store = ArtifactStore(own_store)
    for name in ("dataset", "features", "prompts", "labels"):
        one = store.resolve(f"small/{name}")
        found = compare(store, one, one)
        assert (found.rows_added, found.rows_gone, found.fields) == (0, 0, []), name
        assert found.moved in (
            [],
            ["no row differs"],
            [line for line in found.moved if "1.000000 in the median, 1.000000 at least" in line],
        ), name


def test_vectors_are_joined_by_id_and_compared_by_their_angle() -> None:
    old = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], np.float16)
    new = np.array([[0.0, 1.0], [3.0, 0.0], [1.0, 0.0]], np.float16)
    (line,) = moved_vectors(["a", "b", "c"], old, ["b", "a", "c"], new)
    assert line == (
        "vectors: cosine to the older one 1.000000 in the median, 0.707107 at least (c)"
    )
    assert moved_vectors(["a"], old[:1], ["b"], new[:1]) == []
    (line,) = moved_vectors(["a"], old[:1], ["a"], np.ones((1, 3)))
    assert line == "vectors: 3 numbers each, were 2"


def test_columns_of_tables_tell_how_far_they_moved() -> None:
    old = pd.DataFrame(
        {"content_sha256": ["a", "b", "c"], "score": [0.1, 0.2, None], "label": ["x", "y", None]}
    )
    new = pd.DataFrame(
        {"content_sha256": ["c", "b", "a"], "score": [0.5, 0.4, 0.1], "label": [None, "z", "x"]}
    )
    assert moved_tables(old, new) == [
        "score: 0.1 on average, 0.2 at most, 1 null in one of them only",
        "label: another in 1 of 3 rows",
    ]
    assert moved_tables(old, old) == []
    assert moved_tables(old, new.drop(columns="content_sha256")) == []
