"""Vectors and the names of their rows, wherever they lie, checked against their key."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from conf.errors import RecipeError, WorldError
from conf.keys import ArtifactKey
from conf.projection import VectorSource
from conf.runtime import Runtime
from storage.dataset import read_ledger
from storage.hashes import Hashes
from storage.projection.cache import EMBEDDINGS, LABELS, META, METADATA, cache_names
from storage.projection.errors import BadVectors
from storage.projection.names import (
    RowNames,
    bare_names,
    ledger_names,
    read_table_ids,
    read_table_names,
)
from storage.projection.vectors import (
    Vectors,
    file_key,
    matrix,
    read_features,
    read_npy,
    read_parquet,
)
from storage.store import ArtifactStore
from tasks.compute.projection.pca import SMALLEST, unit_length, usable_rows
from tasks.projection.torch_files import read_tensor

OF_CONTENTS = ("image-features", "concept-scores")
"""Features whose rows are contents of images, named by their sha256."""


class VectorsChanged(WorldError):
    """A file of vectors is not the one that a run began with."""


def vectors_file(source: VectorSource) -> Path | None:
    """Return the file of vectors that `source` names, None for an artifact.

    Raises BadVectors when it is not there, or of a kind that is not read.
    """
    if source.path is None:
        return None
    path = source.path / EMBEDDINGS if source.path.is_dir() else source.path
    if not path.is_file():
        what = (
            "a cache folder has embeddings.pt and metadata.csv"
            if path.name == EMBEDDINGS
            else ("vectors are a cache folder, or a .npy, .pt or .parquet file")
        )
        raise BadVectors(f"There is no {path}: {what}.")
    if path.suffix not in (".npy", ".pt", ".parquet"):
        raise BadVectors(f"{path}: vectors are read from .npy, .pt and .parquet files.")
    return path


def vectors_key(source: VectorSource, runtime: Runtime) -> ArtifactKey:
    """Return what the vectors of `source` are: the key of an artifact, or a file's bytes."""
    path = vectors_file(source)
    if path is None:
        return ArtifactKey.parse(_artifact(source, runtime))
    return file_key(_sha256(path, runtime), source.column)


def _artifact(source: VectorSource, runtime: Runtime) -> str:
    if source.artifact is None:
        raise RecipeError("no vectors are named: set vectors.path or vectors.artifact.")
    return ArtifactStore(runtime.store).resolve(source.artifact).key


def _sha256(path: Path, runtime: Runtime) -> str:
    with Hashes(runtime.store / "hashes.sqlite") as hashes:
        return hashes.sha256_of_file(path)


@lru_cache(maxsize=1)
def read_vectors(source: VectorSource, key: ArtifactKey, runtime: Runtime) -> Vectors:
    """Return the vectors of `source`; one process reads them once.

    Raises VectorsChanged when they are no longer those of `key`, and BadVectors.
    """
    path = vectors_file(source)
    if path is None:
        store = ArtifactStore(runtime.store)
        return read_features(store, store.resolve(str(key)))
    if path.suffix == ".pt":
        found = matrix(read_tensor(path), str(path))
    else:
        found = read_npy(path) if path.suffix == ".npy" else read_parquet(path, source.column)
    if vectors_key(source, runtime) != key:
        raise VectorsChanged(f"{path} was changed while maps were made of it. Run again.")
    return Vectors(found)


@lru_cache(maxsize=1)
def usable_vectors(
    source: VectorSource, key: ArtifactKey, runtime: Runtime, *, unit: bool
) -> tuple["np.ndarray[tuple[int, int], np.dtype[np.float32]]", tuple[str | None, ...]]:
    """Return the vectors that can be mapped, of length 1 with `unit`, and of every row why not.

    Raises BadVectors when none can.
    """
    values = read_vectors(source, key, runtime).values
    usable, reasons = usable_rows(values, unit=unit)
    if not usable.any():
        raise BadVectors(
            f"None of the {len(values)} vectors can be mapped: the first is {reasons[0]}."
        )
    kept = values if usable.all() else values[usable]
    largest = float(np.abs(kept).max())
    if not unit and 0 < largest < SMALLEST:
        raise BadVectors(
            f"The largest number of all vectors is {largest:.1g}: squares of numbers below "
            f"{SMALLEST:g} are zero, and so is every distance. Scale the vectors, or compare their "
            "directions (--unit)."
        )
    return unit_length(kept) if unit else kept, tuple(reasons)


def read_names(
    source: VectorSource, key: ArtifactKey, names: ArtifactKey, runtime: Runtime
) -> RowNames:
    """Return what the rows of the vectors are called by `names`, and whether their order is
    proven."""
    vectors = read_vectors(source, key, runtime)
    count, path = len(vectors.values), vectors_file(source)
    if path is None:
        if names.kind != "dataset" or vectors.ids is None:
            contents = vectors.ids if key.kind in OF_CONTENTS else None
            return RowNames(vectors.ids or bare_names(count).ids, contents=contents)
        return ledger_names(vectors.ids, read_ledger(ArtifactStore(runtime.store).folder(names)))
    if source.names is not None:
        return read_table_names(source.names, count)
    if path.suffix == ".parquet":
        return read_table_names(path, count, own=True)
    if path.name == EMBEDDINGS and (path.parent / METADATA).is_file():
        labels = path.parent / LABELS
        told = read_tensor(labels) if labels.is_file() else None
        return cache_names(path.parent, count, told, _sha256(path, runtime))
    return bare_names(count)


def picture_names(source: VectorSource) -> tuple[str, ...]:
    """Return the names, in the order of the vectors, that pictures of a file's rows may have.

    No vector is read, and nothing is checked: whoever reads the names does that.
    """
    path = vectors_file(source)
    if source.names is not None:
        return read_table_ids(source.names)
    if path is not None and path.suffix == ".parquet":
        return read_table_ids(path)
    if path is None or path.name != EMBEDDINGS or not (path.parent / METADATA).is_file():
        return ()
    return read_table_ids(path.parent / METADATA)


def names_key(source: VectorSource, key: ArtifactKey, runtime: Runtime) -> ArtifactKey:
    """Return the key of all that names the rows: of files' bytes, or of the dataset that features
    were first made for."""
    path = vectors_file(source)
    if path is None:
        made = ArtifactStore(runtime.store).manifest(str(key)).made
        dataset = made.get("dataset")
        return ArtifactKey.parse(dataset) if dataset else ArtifactKey.of("names", 1, str(key))
    if source.names and not source.names.is_file():
        raise BadVectors(
            f"There is no {source.names}: the names of rows are a CSV or Parquet table."
        )
    beside = [path.parent / name for name in (LABELS, METADATA, META)]
    if source.names:
        files = [source.names]
    elif path.name == EMBEDDINGS:
        files = beside
    else:
        files = [path] if path.suffix == ".parquet" else []
    told = {file.name: _sha256(file, runtime) for file in files if file.is_file()}
    return ArtifactKey.of("names", 1, told)
