"""A disk that fills up amid an HDF5 file is an error, and not the end of the process."""

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

import storage
from storage.hdf5 import new_file, write_pooled
from storage.sink import Sink

ROWS = np.arange(60_000, dtype=np.int64).reshape(-1, 4)


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: a write behind them fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(file: h5py.File) -> None:
    file.create_dataset("whole", data=ROWS)
    file.create_dataset("packed", data=ROWS, chunks=(100, 4), compression="gzip")
    file.create_dataset("words", data=["a", "bc"] * 500, dtype=h5py.string_dtype())
    group = file.create_group("more")
    for number in range(50):
        group.create_dataset(f"{number}", data=ROWS[:number])
    file.attrs["fact"] = "x" * 1000


def test_a_file_holds_what_hdf5_would_write_itself_the_same_bytes_every_time(
    tmp_path: Path,
) -> None:
    for name in ("a.h5", "b.h5"):
        with new_file(tmp_path / name) as file:
            fill(file)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert np.array_equal(file["whole"][:], ROWS)
        assert np.array_equal(file["packed"][:], ROWS)
        assert file["words"].asstr()[-1] == "bc"
        assert all(np.array_equal(file[f"more/{at}"][:], ROWS[:at]) for at in range(50))
        assert file.attrs["fact"] == "x" * 1000


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.6, 0.9, 0.999])
def test_a_disk_that_fills_up_is_an_error_and_ends_nothing(tmp_path: Path, share: float) -> None:
    with new_file(tmp_path / "whole.h5") as file:
        fill(file)
    size_bytes = (tmp_path / "whole.h5").stat().st_size
    with (
        room_for(int(share * size_bytes)),
        pytest.raises(OSError, match="File too large"),
        new_file(tmp_path / "cut.h5") as file,
    ):
        fill(file)
    assert not h5py.is_hdf5(tmp_path / "cut.h5") or share > 0


def test_pooled_rows_meet_a_full_disk_in_the_same_way(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float32)
    with room_for(1 << 14), pytest.raises(OSError, match="File too large"):
        write_pooled(tmp_path / "pooled.h5", "rows", rows, {"labels": ROWS})


def test_what_is_done_with_a_file_may_fail_for_its_own_reasons(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="none"), new_file(tmp_path / "a.h5"):
        raise KeyError("none")


def test_after_a_failure_nothing_more_is_written(tmp_path: Path) -> None:
    with Sink(tmp_path / "a") as sink:
        with room_for(4):
            assert sink.write(b"12345678") == 8
        assert isinstance(sink.error, OSError)
        assert sink.write(b"9") == 1
        assert sink.tell() == 9
        assert sink.truncate(2) == 2
    assert (tmp_path / "a").read_bytes() == b"1234"


def test_every_file_of_the_store_goes_through_a_sink() -> None:
    """But those that users open to append to, which HDF5 itself must hold, and the few bytes
    around a large array, for which the space is looked at before."""
    modules = sorted(Path(storage.__path__[0]).rglob("*.py"))
    opened = re.compile(r'h5py\.File\((?!sink)[^)]*"(w|a|x|r\+)')
    writers = [path.stem for path in modules for _ in opened.findall(path.read_text())]
    assert writers == ["writing", "hdf5"], "write with storage.hdf5.new_file"
