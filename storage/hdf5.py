"""HDF5 files of a part: one array a file, written once, at the speed of the disk."""

import ctypes
import errno
import math
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from blake3 import blake3

from storage.checksums import FileSum
from storage.sink import Sink
from storage.steps import step

_BLOCK_BYTES = 1 << 23  # 8 MiB
_WRITE_NOW = 2  # SYNC_FILE_RANGE_WRITE: start writeback, wait for nothing
_PAGE_BYTES = 1 << 12  # 4 KiB
_LAYOUT_BYTES = 1 << 13  # 8 KiB, more than HDF5 writes around one array
POOLED_CHUNK_ROWS = 1024


@contextmanager
def new_file(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file at `path`, written and closed on leaving.

    Raises OSError where the disk is full: see storage/sink.py.
    """
    with step("write", path), Sink(path) as sink:
        try:
            with h5py.File(sink, "w") as file:
                yield file
        except Exception:  # HDF5 may stumble over what it wants to read back
            if sink.error:
                raise sink.error from None
            raise
        if sink.error:
            raise sink.error


def write_pooled(
    path: Path,
    name: str,
    rows: np.ndarray[Any, Any],
    others: Mapping[str, np.ndarray[Any, Any]],
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Write `rows` (N, D) in chunks (1024, D) as dataset `name`, and small arrays beside it."""
    chunk = (min(POOLED_CHUNK_ROWS, max(1, len(rows))), rows.shape[1])
    with new_file(path) as file:
        file.create_dataset(name, data=rows, chunks=chunk if len(rows) else None)
        # Else its place in the file is found when the handle goes: whoever still holds one, as a
        # profiler does, would decide the bytes.
        file.flush()
        for other, values in others.items():
            file.create_dataset(other, data=values)
        file.attrs.update(attributes or {})


def write_contiguous(path: Path, name: str, rows: np.ndarray[Any, Any]) -> FileSum:
    """Write `rows` as the only dataset of a new file, contiguous and uncompressed, flushed to the
    disk.

    HDF5 lays out the file; the bytes then go straight from the array to their place while a thread
    hashes them, and the kernel is told early to write them back.
    """
    rows = np.ascontiguousarray(rows)
    with _laid_out(path, name, rows.shape, rows.dtype) as (descriptor, offset):
        return _pour(descriptor, offset, _bytes_of(rows))


def _bytes_of(rows: np.ndarray[Any, Any]) -> memoryview:
    return memoryview(rows.data).cast("B") if rows.size else memoryview(b"")


class Appender:
    """The only dataset of a new file, given piece by piece, hashed while it is in the cache."""

    def __init__(self, path: Path, descriptor: int, offset: int, size_bytes: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._start, self._at, self._end = offset, offset, offset + size_bytes
        self._written_back = offset
        self._hasher = blake3(os.pread(descriptor, offset, 0))

    def append(self, rows: np.ndarray[Any, Any]) -> None:
        """Write `rows` behind what is there."""
        data = _bytes_of(np.ascontiguousarray(rows))
        self._hasher.update(data)
        _write(self._descriptor, self._at, data)
        self._at += len(data)
        if self._at - self._written_back >= _BLOCK_BYTES:
            whole = self._at // _PAGE_BYTES * _PAGE_BYTES  # the last page will be written again
            _start_writeback(self._descriptor, self._written_back, whole - self._written_back)
            self._written_back = whole

    def finish(self) -> FileSum:
        """Return the sum of the whole file; raises ValueError unless every row was given."""
        if self._at != self._end:
            given, wanted = self._at - self._start, self._end - self._start
            raise ValueError(f"{self._path}: {given} bytes of {wanted} were appended.")
        size_bytes = os.fstat(self._descriptor).st_size
        self._hasher.update(os.pread(self._descriptor, size_bytes - self._end, self._end))
        return FileSum(size_bytes, self._hasher.hexdigest())


@contextmanager
def appending(path: Path, name: str, rows: int, kind: np.dtype[Any]) -> Iterator[Appender]:
    """Yield a new file like those of `write_contiguous`, of which the dataset (rows,) is to be
    appended and then finished; on leaving, it is flushed to the disk."""
    with _laid_out(path, name, (rows,), kind) as (descriptor, offset):
        yield Appender(path, descriptor, offset, rows * kind.itemsize)


@contextmanager
def _laid_out(
    path: Path, name: str, shape: tuple[int, ...], kind: np.dtype[Any]
) -> Iterator[tuple[int, int]]:
    """Yield the descriptor of a new file and where its dataset begins; flush what was written."""
    with step("write", path):
        offset = _lay_out(path, name, shape, kind)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield descriptor, offset
            with step("fsync-file", path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lay_out(path: Path, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    _require_space(path.parent, kind.itemsize * math.prod(shape))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)  # the same rows make the same bytes, tomorrow too
    with h5py.File(
        path, "w"
    ) as file:  # a few hundred bytes, for which there was space a moment ago
        space = h5py.h5s.create_simple(shape)
        stored = h5py.h5t.py_create(kind, logical=True)
        dataset = h5py.h5d.create(file.id, name.encode(), stored, space, properties)
        offset = dataset.get_offset()
    return int(offset or 0)


def _require_space(folder: Path, size_bytes: int) -> None:
    # HDF5 must not meet a full disk: see storage/sink.py. What other writers take meanwhile,
    # `_pour` meets, which says so.
    if size_bytes + _LAYOUT_BYTES > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _pour(descriptor: int, offset: int, data: memoryview) -> FileSum:
    """Write `data` at `offset`; return the sum of the whole file, hashed meanwhile by a thread."""
    size_bytes = os.fstat(descriptor).st_size
    head = os.pread(descriptor, offset, 0) if data else b""
    end = offset + len(data) if data else 0
    tail = os.pread(descriptor, size_bytes - end, end)
    hasher = blake3()

    def hash_all() -> None:
        for piece in (head, data, tail):
            for start in range(0, len(piece), _BLOCK_BYTES):
                hasher.update(piece[start : start + _BLOCK_BYTES])

    thread = threading.Thread(target=hash_all)
    thread.start()
    try:
        _write_blocks(descriptor, offset, data)
    finally:
        thread.join()
    return FileSum(max(size_bytes, end), hasher.hexdigest())


def _write_blocks(descriptor: int, offset: int, data: memoryview) -> None:
    for start in range(0, len(data), _BLOCK_BYTES):
        block = data[start : start + _BLOCK_BYTES]
        _write(descriptor, offset + start, block)
        _start_writeback(descriptor, offset + start, len(block))


def _write(descriptor: int, offset: int, data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _start_writeback(descriptor: int, offset: int, size_bytes: int) -> None:
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, size_bytes, _WRITE_NOW)


def _find_sync_file_range() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


_sync_file_range = _find_sync_file_range()


def read_rows(path: Path, name: str, positions: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return rows of dataset `name` by position, each read straight into its place.

    Positions may come in any order; they are read in file order, in runs of neighbours.
    """
    with h5py.File(path, "r") as file:
        dataset = file[name]
        out = np.empty((len(positions), *dataset.shape[1:]), dataset.dtype)
        order = np.argsort(positions, kind="stable")
        for run in _runs(np.asarray(positions)[order]):
            first, count = int(np.asarray(positions)[order][run.start]), run.stop - run.start
            block = dataset[first : first + count]
            out[order[run]] = block
    return out


def _runs(ordered: np.ndarray[Any, Any]) -> list[slice]:
    """Return slices of `ordered`, ascending integers, in which each is its neighbour's
    successor."""
    if not len(ordered):
        return []
    breaks = np.flatnonzero(np.diff(ordered) != 1) + 1
    edges = [0, *breaks.tolist(), len(ordered)]
    return [slice(a, b) for a, b in pairwise(edges)]
