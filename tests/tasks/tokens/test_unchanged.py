"""A file that changes between its hashing and its reading is noticed, and other metadata cost
little."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.runtime import Runtime
from conf.tokens import FilesSource, ReviewsRecipe
from storage.drafts import Making
from storage.hashes import Hashes
from storage.publishing import driving
from storage.store import ArtifactStore
from storage.tokens import TokenIndex
from storage.tokens.errors import FileChanged
from storage.tokens.seedfiles import write_metadata
from tasks.tokens import indexing, keep_reviews

FEATURES, VALUES = np.tile(np.arange(4, dtype=np.int32), (60, 1)), np.ones((60, 4), np.float32)
REVIEWS = np.arange(60) // 10


@pytest.mark.parametrize(
    ("reader", "changed"), [("read_arrays", "metadata"), ("part_entries", "activations")]
)
def test_a_file_that_changes_while_it_is_read_is_not_sealed(
    files_of: Callable[..., FilesSource],
    index_of: Callable[..., TokenIndex],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reader: str,
    changed: str,
) -> None:
    files = files_of(tmp_path, FEATURES, VALUES, REVIEWS)
    read = getattr(indexing, reader)

    def read_and_change(*given: Any, **settings: Any) -> Any:
        found = read(*given, **settings)
        with getattr(files, changed).open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(indexing, reader, read_and_change)
    with pytest.raises(FileChanged, match="has changed while it was read: its sha256 was") as told:
        index_of(files, tmp_path / "store", 4)
    assert "run again" in str(told.value)
    assert list(ArtifactStore(tmp_path / "store").published()) == []


def test_a_tokenizer_that_is_not_the_one_of_the_recipe_seals_nothing(
    files_of: Callable[..., FilesSource], tmp_path: Path
) -> None:
    files = files_of(tmp_path, FEATURES, VALUES, REVIEWS, texts=["the " * 10] * 6)
    store = ArtifactStore(tmp_path / "store")
    with Hashes(store.path / "hashes.sqlite") as hashes:
        recipe = ReviewsRecipe(
            activations_sha256=hashes.sha256_of_file(files.activations),
            metadata_sha256=hashes.sha256_of_file(files.metadata),
            tokenizer_sha256="0" * 64,
        )
    runtime = Runtime(store=store.path, progress=False)
    with driving(store, Making(recipe, {}, ("reviews",))) as draft:
        assert draft is not None
        (part,) = draft.pending()
        with pytest.raises(FileChanged, match=r"tokenizer.json has changed while it was read"):
            keep_reviews.fn(recipe, part=part, files=files, tokenizer="minilm", runtime=runtime)
        assert draft.pending() == [part]


def test_other_metadata_are_joined_with_the_same_postings(
    files_of: Callable[..., FilesSource],
    index_of: Callable[..., TokenIndex],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = files_of(tmp_path, FEATURES, VALUES, REVIEWS)
    first = index_of(files, tmp_path / "store", 4)
    table = first.reviews.reviews()
    columns: dict[str, Any] = {"review_ids": table["review_id"], "texts": table["full_text"],
               "stars": np.full(len(table), 5), "useful": table["useful"],
               "user_ids": table["user_id"], "business_ids": table["business_id"]}  # fmt: skip
    write_metadata(files.metadata, {name: list(rows) for name, rows in columns.items()})
    monkeypatch.setattr(indexing, "part_entries", None)  # nothing is sorted again
    second = index_of(files, tmp_path / "store", 4)
    assert second.artifact != first.artifact
    assert second.path == first.path
    assert second.reviews.reviews()["stars"].tolist() == [5] * 6
    assert first.reviews.reviews()["stars"].tolist() == table["stars"].tolist()
