"""Caches of ours: written of any features, read back as proven, refused when they are shuffled."""

import json
from pathlib import Path

import numpy as np
import pytest

from conf.projection import VectorSource
from conf.runtime import Runtime
from storage.images import ImageFeatures
from storage.open import open_artifact
from storage.projection.errors import BadVectors, OrderDiffers, OutputsExist
from tasks.projection.cache import write_cache
from tasks.projection.torch_files import read_tensor
from tasks.projection.vectors import names_key, read_names, read_vectors, vectors_key


def test_a_cache_holds_the_features_in_the_order_of_the_ledger(
    own_store: Path, tmp_path: Path
) -> None:
    runtime = Runtime(store=own_store)
    folder = write_cache("small/features", tmp_path / "caches", runtime, dataset="digits", seed=1)
    reader: ImageFeatures = open_artifact("small/features", own_store)
    ledger = reader.ledger()
    assert reader.manifest.recipe["model"]["family"] == "toy"
    assert folder == tmp_path / "caches" / "toy_digits" / "all" / "seed1"
    expected = reader.pooled([str(sha) for sha in ledger.sha256]).astype(np.float32)
    np.testing.assert_array_equal(read_tensor(folder / "embeddings.pt"), expected)
    assert read_tensor(folder / "labels.pt").tolist() == list(ledger.label)
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["embedding_dim"] == expected.shape[1]
    assert {"timestamp", "num_samples", "checkpoint_path", "model", "features"} <= meta.keys()
    source = VectorSource(path=folder)
    key = vectors_key(source, runtime)
    names = read_names(source, key, names_key(source, key, runtime), runtime)
    assert names.order_proven
    assert names.ids == ledger.uri
    np.testing.assert_array_equal(read_vectors(source, key, runtime).values, expected)


def test_a_shuffled_table_of_a_cache_is_refused(own_store: Path, tmp_path: Path) -> None:
    runtime = Runtime(store=own_store)
    folder = write_cache("small/features", tmp_path, runtime)
    table = folder / "metadata.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[::-1]]) + "\n")
    (folder / "labels.pt").unlink()
    source = VectorSource(path=folder)
    key = vectors_key(source, runtime)
    with pytest.raises(OrderDiffers, match=r"row 0 is .* It is the first row that differs"):
        read_names(source, key, names_key(source, key, runtime), runtime)


def test_a_cache_that_is_there_is_not_written_over(own_store: Path, tmp_path: Path) -> None:
    runtime = Runtime(store=own_store)
    write_cache("small/features", tmp_path, runtime)
    with pytest.raises(OutputsExist, match=r"embeddings\.pt, labels\.pt, .* Say --overwrite"):
        write_cache("small/features", tmp_path, runtime)
    write_cache("small/features", tmp_path, runtime, overwrite=True)


def test_a_split_that_is_not_there_is_told_with_the_nearest(
    own_store: Path, tmp_path: Path
) -> None:
    runtime = Runtime(store=own_store)
    known = open_artifact("small/features", own_store).ledger().split[0]
    asked = known[:-1] + "z"
    with pytest.raises(BadVectors, match=f"has no split '{asked}'. Did you mean '{known}'"):
        write_cache("small/features", tmp_path, runtime, split=asked)
    with pytest.raises(BadVectors, match="holds no image features"):
        write_cache("small/labels", tmp_path, runtime)
