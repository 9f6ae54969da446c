"""Activations are read right however HDF5 keeps them, and a file that shrinks is told."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from storage.tokens.errors import BadActivations
from storage.tokens.seedfiles import write_activations
from storage.tokens.source import open_activations

Array = np.ndarray[Any, Any]
FEATURES = np.arange(800, dtype=np.int32).reshape(200, 4) % 97
VALUES = FEATURES.astype(np.float32) / 8 + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return an activation file of 200 tokens."""
    reviews = np.arange(200) // 20
    blocks = [(FEATURES, VALUES, reviews)]
    write_activations(tmp_path / "a.h5", blocks, [f"{n}" for n in range(10)], n_tokens=200, k=4)
    return tmp_path / "a.h5"


def kept_as(path: Path, dtype: str, **options: Any) -> None:
    """Write the features anew, in another way."""
    with h5py.File(path, "r+") as file:
        del file["z_idx"]
        file.create_dataset("z_idx", data=FEATURES.astype(dtype), **options)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [("<i4", {}), (">i4", {}), ("<u2", {}), ("<i4", {"chunks": (64, 4), "compression": "gzip"})],
)
def test_any_way_to_keep_features_is_read(path: Path, dtype: str, options: dict[str, Any]) -> None:
    kept_as(path, dtype, **options)
    with open_activations(path) as source:
        for start, stop in ((0, 200), (7, 90), (199, 200), (5, 5)):
            features, values = source.read(start, stop, source.buffers(200))
            np.testing.assert_array_equal(features, FEATURES[start:stop])
            np.testing.assert_array_equal(values, VALUES[start:stop])


def test_features_in_a_file_of_their_own_are_read(path: Path, tmp_path: Path) -> None:
    raw = tmp_path / "features.bin"
    FEATURES.tofile(raw)
    with h5py.File(path, "r+") as file:
        del file["z_idx"]
        place = [(str(raw), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("z_idx", FEATURES.shape, np.int32, external=place)
    with open_activations(path) as source:
        np.testing.assert_array_equal(source.read(3, 50)[0], FEATURES[3:50])


def test_features_that_were_never_written_are_zeros(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["z_idx"]
        file.create_dataset("z_idx", FEATURES.shape, np.int32)
    with open_activations(path) as source:
        assert not source.read(0, 200)[0].any()


def test_a_file_that_is_cut_while_it_is_open_is_told(path: Path) -> None:
    with open_activations(path) as source:
        place = source.file["z_val"].id.get_offset()
        os.truncate(path, place + 100 * 16 + 3)
        assert source.read(0, 100)[1].tobytes() == VALUES[:100].tobytes()
        with pytest.raises(BadActivations, match=r"z_val cannot be read from 99 to 130 \(the file"):
            source.read(99, 130)
