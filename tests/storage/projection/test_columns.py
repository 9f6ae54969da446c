"""Labels and scores join the rows of a map by content, whatever their order."""

from pathlib import Path

import numpy as np
import pytest

from conf.errors import RecipeError
from storage.open import open_artifact
from storage.projection.columns import check_joins, joined_columns
from storage.store import ArtifactStore


def test_the_first_label_of_each_content_is_a_text_and_its_confidence_a_number(
    small_store: Path,
) -> None:
    store = ArtifactStore(small_store)
    labels = open_artifact("small/labels", store)
    first = labels[labels["rank"] == 1].set_index("content_sha256")
    contents = [*reversed(first.index), "f" * 64, None]
    texts, numbers = joined_columns(store, [store.resolve("small/labels")], contents)
    assert texts == {"image-labels: label": [*reversed(first["label"].tolist()), None, None]}
    assert set(numbers) == {"image-labels: confidence", "image-labels: cosine"}
    found = numbers["image-labels: cosine"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:-2], first["cosine"].to_numpy()[::-1])
    assert np.isnan(found[-2:]).all()


def test_columns_of_the_same_name_are_numbered(small_store: Path) -> None:
    store = ArtifactStore(small_store)
    labels = store.resolve("small/labels")
    contents = open_artifact("small/labels", store)["content_sha256"].tolist()
    texts, _ = joined_columns(store, [labels, labels], contents[:1])
    assert list(texts) == ["image-labels: label", "image-labels: label (2)"]


def test_what_has_no_columns_is_refused_with_what_has(small_store: Path) -> None:
    store = ArtifactStore(small_store)
    with pytest.raises(RecipeError, match="has no columns to colour a map by: they are taken of"):
        check_joins([store.resolve("small/features")])
