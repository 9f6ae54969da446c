"""A disk that fills up amid an HDF5 file is an error, and not the end of the process."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import storage
from storage.hdf5 import new_file

ROWS = np.arange(60_000, dtype=np.int64).reshape(-1, 4)


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


_FULL = """
import resource, sys
from pathlib import Path

import h5py
from storage.hdf5 import new_file, write_pooled
from storage.sink import Sink
from tests.storage.test_sink import ROWS, fill

folder = Path(sys.argv[1])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def room_for(size_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))

def said(work):
    try:
        work()
    except OSError as problem:
        return problem.strerror

def write(path):
    with new_file(path) as file:
        fill(file)

write(folder / "whole.h5")
size_bytes = (folder / "whole.h5").stat().st_size
for share in (0, 0.001, 0.3, 0.6, 0.9, 0.999):
    room_for(int(share * size_bytes))
    print(said(lambda: write(folder / "cut.h5")))
room_for(1 << 14)
print(said(lambda: write_pooled(folder / "pooled.h5", "rows", ROWS.astype("f4"), {"labels": ROWS})))
room_for(4)
with Sink(folder / "raw") as sink:
    told = [sink.write(b"12345678"), sink.error.strerror, sink.write(b"9"), sink.tell()]
    print(*told, sink.truncate(2), (folder / "raw").read_bytes())
"""


def test_a_disk_that_fills_up_is_an_error_and_ends_nothing(tmp_path: Path) -> None:
    """Files may not grow beyond a limit here: a write behind it fails, as on a full disk.

    In a process of its own, for the limit is one of the whole process.
    """
    root = Path(storage.__path__[0]).parent
    command = [sys.executable, "-c", _FULL, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    full = "File too large"
    after = f"8 {full} 1 9 2 b'1234'"  # what is behind the first failure is not written
    assert done.stdout.splitlines() == [full] * 7 + [after], done.stderr
    assert done.returncode == 0


def test_what_is_done_with_a_file_may_fail_for_its_own_reasons(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="none"), new_file(tmp_path / "a.h5"):
        raise KeyError("none")


def test_every_file_of_the_store_goes_through_a_sink() -> None:
    """But those that users open to append to, which HDF5 itself must hold, and the few bytes
    around a large array, for which the space is looked at before."""
    modules = sorted(Path(storage.__path__[0]).rglob("*.py"))
    opened = re.compile(r'h5py\.File\((?!sink)[^)]*"(w|a|x|r\+)')
    writers = [path.stem for path in modules for _ in opened.findall(path.read_text())]
    assert writers == ["writing", "hdf5"], "write with storage.hdf5.new_file"
