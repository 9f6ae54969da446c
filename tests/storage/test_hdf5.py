import errno
import shutil
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from storage.checksums import FileSum
from storage.hdf5 import appending, read_rows, write_contiguous, write_pooled

Usage = namedtuple("Usage", "total used free")
ROWS = np.arange(7 * 3 * 5, dtype=np.float16).reshape(7, 3, 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.h5"


def test_the_sum_that_is_hashed_on_the_way_is_the_sum_of_the_file(path: Path) -> None:
    assert write_contiguous(path, "rows", ROWS) == FileSum.of(path)


@pytest.mark.parametrize("shape", [(0, 3, 5), (1, 1, 1), (3, 1 << 10, 1 << 11)])
def test_any_shape_is_read_back_as_it_was_written(path: Path, shape: tuple[int, ...]) -> None:
    rows = np.arange(np.prod(shape), dtype=np.uint16).view(np.float16).reshape(shape)
    assert write_contiguous(path, "rows", rows) == FileSum.of(path)
    with h5py.File(path, "r") as file:
        assert file["rows"].dtype == np.float16
        np.testing.assert_array_equal(file["rows"][:].view(np.uint16), rows.view(np.uint16))


@pytest.mark.parametrize("sizes", [[], [1], [0, 3000, 1, 2 << 20, 4097, 5 << 20]])
def test_pieces_make_the_bytes_of_the_whole(path: Path, tmp_path: Path, sizes: list[int]) -> None:
    rows = np.arange(sum(sizes), dtype=np.uint16)
    with appending(tmp_path / "pieces.h5", "rows", len(rows), rows.dtype) as pieces:
        for piece in np.split(rows, np.cumsum(sizes)[:-1]) if sizes else ():
            pieces.append(piece)
        sums = pieces.finish()
    assert sums == write_contiguous(path, "rows", rows) == FileSum.of(tmp_path / "pieces.h5")
    assert path.read_bytes() == (tmp_path / "pieces.h5").read_bytes()


def test_pieces_that_do_not_make_the_whole_are_refused(path: Path) -> None:
    with appending(path, "rows", 5, np.dtype(np.uint16)) as pieces:
        pieces.append(np.zeros(2, np.uint16))
        with pytest.raises(ValueError, match=r"tokens\.h5: 4 bytes of 10 were appended"):
            pieces.finish()


def test_rows_that_lie_apart_in_memory_are_written_right(path: Path) -> None:
    write_contiguous(path, "rows", ROWS[::2])
    np.testing.assert_array_equal(read_rows(path, "rows", range(4)), ROWS[::2])


def test_tokens_are_contiguous_and_pooled_features_in_chunks(tmp_path: Path, path: Path) -> None:
    write_contiguous(path, "rows", ROWS)
    write_pooled(tmp_path / "pooled.h5", "rows", ROWS[:, 0], {}, {})
    with h5py.File(path) as tokens, h5py.File(tmp_path / "pooled.h5") as pooled:
        assert tokens["rows"].chunks is None
        assert tokens["rows"].compression is None
        assert pooled["rows"].chunks == (7, 5)


@pytest.mark.parametrize("positions", [[6, 0, 3], [1, 2, 3], [4], [5, 5, 0], []])
def test_rows_are_read_in_the_order_asked_for(path: Path, positions: list[int]) -> None:
    write_contiguous(path, "rows", ROWS)
    np.testing.assert_array_equal(read_rows(path, "rows", positions), ROWS[positions])


def test_the_same_rows_make_the_same_bytes_a_second_later(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_contiguous(tmp_path / f"{name}.h5", "rows", ROWS)
        write_pooled(tmp_path / f"{name}-pooled.h5", "rows", ROWS[:, 0], {"ids": ROWS}, {"a": "b"})
        time.sleep(1.0 * (name == "first"))  # HDF5 counts time in seconds
    for kind in ("", "-pooled"):
        first, second = (tmp_path / f"{name}{kind}.h5" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_the_bytes_do_not_depend_on_who_still_holds_a_handle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profiler holds the frames, and so the handles, of the threads that it looks at."""
    write_pooled(tmp_path / "free.h5", "rows", ROWS[:, 0], {"ids": ROWS}, {"a": "b"})
    held, create = [], h5py.Group.create_dataset

    def create_and_hold(*given: Any, **options: Any) -> Any:
        held.append(create(*given, **options))
        return held[-1]

    monkeypatch.setattr(h5py.Group, "create_dataset", create_and_hold)
    write_pooled(tmp_path / "held.h5", "rows", ROWS[:, 0], {"ids": ROWS}, {"a": "b"})
    assert len(held) == 2
    assert (tmp_path / "held.h5").read_bytes() == (tmp_path / "free.h5").read_bytes()


def test_hdf5_is_not_let_near_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1, 1, ROWS.nbytes))
    with pytest.raises(OSError, match="No space left") as told:
        write_contiguous(path, "rows", ROWS)
    assert told.value.errno == errno.ENOSPC
    assert not path.exists()
