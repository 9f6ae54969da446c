"""Writing the seed's two files: activations as HDF5, metadata as NPZ."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.hdf5 import new_file
from storage.steps import step

Array = np.ndarray[Any, Any]


def write_activations(
    path: Path,
    blocks: Iterable[tuple[Array, Array, Array]],
    review_ids: Sequence[str],
    *,
    n_tokens: int,
    k: int,
    dtypes: tuple[str, str] = ("i4", "f4"),
) -> None:
    """Write the activation file at `path` from blocks of (features (n, k), values (n, k), review of
    each token as a row of `review_ids`), contiguous and uncompressed."""
    ids = np.array([name.encode() for name in review_ids] or [b""])
    with new_file(path) as file:
        features = file.create_dataset("z_idx", (n_tokens, k), dtypes[0])
        values = file.create_dataset("z_val", (n_tokens, k), dtypes[1])
        names = file.create_dataset("rev_idx", (n_tokens,), ids.dtype)
        file.create_dataset("review_ids_unique", data=ids[: len(review_ids)])
        start = 0
        for listed, activations, reviews in blocks:
            stop = start + len(listed)
            features[start:stop], values[start:stop] = listed, activations
            names[start:stop] = ids[reviews]
            start = stop


def write_metadata(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write the NPZ at `path`: texts as object arrays, as the seed has them, numbers as int64."""
    arrays = {
        name: np.array(values, dtype=object if any(isinstance(v, str) for v in values) else None)
        for name, values in columns.items()
    }
    with step("write", path), path.open("wb") as file:
        np.savez(file, allow_pickle=True, **arrays)
