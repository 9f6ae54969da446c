"""Vectors of files and of artifacts: one float32 matrix, and the ids of its rows where they have
some."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conf.errors import did_you_mean
from conf.keys import ArtifactKey
from storage.concepts import ConceptScores
from storage.images import ImageFeatures
from storage.projection.errors import BadVectors
from storage.prompts import open_prompts
from storage.store import Artifact, ArtifactStore

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Vectors:
    """A matrix, and what its rows are called for good."""

    values: Array
    """(rows, dim) float32."""
    ids: tuple[str, ...] | None = None
    """Such as the sha256 of each image; None where a row is only known by its vector."""

    def digests(self) -> list[str]:
        """Return 32 hex digits for each row, of its float32 bytes: the same vector, the same
        digest."""
        return [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in self.values]


def matrix(values: Array, place: str) -> Array:
    """Return `values` as a contiguous float32 matrix; raises BadVectors when they are none."""
    if values.ndim != 2 or values.dtype.kind not in "fiub" or values.shape[1] == 0:
        raise BadVectors(
            f"{place} holds {values.dtype} of shape {values.shape}; vectors are numbers of shape "
            "(rows, dimensions), a vector a row."
        )
    if len(values) == 0:
        raise BadVectors(f"{place} holds no rows: there is nothing to map.")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite: a row that failed
        return np.ascontiguousarray(values, dtype=np.float32)


def read_npy(path: Path) -> Array:
    """Return the matrix in a .npy file."""
    try:
        return matrix(np.load(path, allow_pickle=False), str(path))
    except (ValueError, EOFError) as problem:
        raise BadVectors(f"{path} is not a .npy file of numbers: {problem}.") from problem


def read_parquet(path: Path, column: str | None) -> Array:
    """Return the vectors in a column of lists of a Parquet file, by default of the only such."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        name = _vector_column(path, schema, column)
        found = pq.read_table(path, columns=[name]).column(name).combine_chunks()
    except pa.ArrowException as problem:
        raise BadVectors(f"{path} is not a Parquet file: {problem}.") from problem
    lengths = np.asarray(found.value_lengths().fill_null(-1))
    if len(lengths) and lengths.min() != lengths.max():
        at = int(np.flatnonzero(lengths != lengths[0])[0])
        raise BadVectors(
            f"{path}: row {at} of column {name!r} has {lengths[at]} numbers, row 0 has "
            f"{lengths[0]}; -1 is null. All vectors are equally long."
        )
    flat = found.flatten().to_numpy(zero_copy_only=False)
    return matrix(flat.reshape(len(found), -1) if len(found) else flat[None][:0], str(path))


def _vector_column(path: Path, schema: Any, column: str | None) -> str:
    import pyarrow as pa

    def is_vector(kind: Any) -> bool:
        is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
        is_list = is_list or pa.types.is_large_list(kind)
        return is_list and (pa.types.is_floating(kind.value_type) or _is_whole(kind.value_type))

    found = [field.name for field in schema if is_vector(field.type)]
    if column in found or (column is None and len(found) == 1):
        return column or found[0]
    if column is None:
        told = f"has {len(found)} columns of vectors" if found else "has no column of vectors"
    else:
        told = f"has no column {column!r} of vectors"
    raise BadVectors(f"{path} {told}. Name one with --column. {did_you_mean(column or '', found)}")


def _is_whole(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind))


def read_features(store: ArtifactStore, artifact: Artifact) -> Vectors:
    """Return the features of an artifact, by id: a set of rows is mapped the same way whatever the
    order of its parts."""
    read = _FEATURES.get(artifact.kind)
    if read is None:
        raise BadVectors(
            f"{artifact.key} holds no vectors that maps are made of. "
            f"{did_you_mean(artifact.kind, _FEATURES)} `featuremill ls` lists them."
        )
    vectors = read(store, artifact)
    return Vectors(matrix(vectors.values, artifact.key), vectors.ids)


def _images(store: ArtifactStore, artifact: Artifact) -> Vectors:
    reader = ImageFeatures(store, artifact)
    ids = sorted(reader.contents)
    return Vectors(reader.pooled(ids), tuple(ids))


def _scores(store: ArtifactStore, artifact: Artifact) -> Vectors:
    reader = ConceptScores(store, artifact)
    ids = sorted(reader.contents)
    return Vectors(reader.read("concept_scores", ids), tuple(ids))


def _prompts(store: ArtifactStore, artifact: Artifact) -> Vectors:
    prompts = open_prompts(store, artifact)
    return Vectors(prompts.text_features, prompts.vocabulary)


_FEATURES: dict[str, Callable[[ArtifactStore, Artifact], Vectors]] = {
    "image-features": _images,
    "concept-scores": _scores,
    "prompt-features": _prompts,
}


def file_key(sha256: str, column: str | None) -> ArtifactKey:
    """Return the key of vectors in a file of these bytes."""
    return ArtifactKey.of("vectors", 1, {"sha256": sha256, "column": column})
