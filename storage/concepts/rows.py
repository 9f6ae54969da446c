"""Rows of an HDF5 dataset, read straight from their places in the file.

HDF5's own selection by a list of positions is up to a hundred times slower than the disk. Rows of
contiguous datasets, and of uncompressed chunks as wide as a row, lie in one piece: where, HDF5
says; the bytes then go into the result without a copy. What lies otherwise is read by HDF5.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from storage.errors import DamagedArtifact

Array = np.ndarray[Any, Any]

_THREADED_BYTES = 1 << 24  # 16 MiB: below it, threads cost more than they save
_PIECE_BYTES = 1 << 23  # 8 MiB a read


class _Run(NamedTuple):
    """Rows that are wanted side by side: `rows` rows from row `start`, into place `target`."""

    start: int
    rows: int
    target: int


class _Piece(NamedTuple):
    """Bytes to be read from a file into the result."""

    path: Path
    offset: int
    target: int
    size: int


@dataclass(frozen=True)
class _Source:
    """Rows of a virtual dataset that are rows of another file."""

    first: int
    count: int
    path: Path
    name: str
    offset: int
    """The row of the other dataset that is row `first` here."""


class RowReader:
    """Reads rows of one dataset of an open file; a virtual one from the files it is made of."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self._dataset = dataset
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        self._sources = _sources(dataset) if dataset.is_virtual else []
        self._starts = np.array([source.first for source in self._sources], np.int64)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: Sequence[int] | slice | range | Array | None = None) -> Array:
        """Return `rows`, in the order asked for; None gives all.

        Raises IndexError for a row that is not there, and DamagedArtifact for one whose file is
        missing: a plain h5py reader would see NaN there.
        """
        wanted = _positions(rows, len(self))
        out = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        if out.size:
            self._fill(out, _runs(wanted))
        return out

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, Array]]:
        """Yield (first row, rows) for all rows, in blocks of `size`: memory is the block's."""
        for start in range(0, len(self), size):
            yield start, self.read(range(start, min(start + size, len(self))))

    def _fill(self, out: Array, runs: list[_Run]) -> None:
        if not self._sources:
            _fill_from(self._dataset, out, runs, self._row_bytes)
            return
        parts: dict[tuple[Path, str], list[_Run]] = {}
        for run in runs:
            for path, name, piece in self._split(run):
                parts.setdefault((path, name), []).append(piece)
        for (path, name), pieces in parts.items():
            with _opened(path) as file:
                _fill_from(file[name], out, pieces, self._row_bytes)

    def _split(self, run: _Run) -> Iterator[tuple[Path, str, _Run]]:
        done = 0
        while done < run.rows:
            row = run.start + done
            source = self._sources[int(np.searchsorted(self._starts, row, side="right")) - 1]
            count = min(run.rows - done, source.first + source.count - row)
            start = source.offset + row - source.first
            yield source.path, source.name, _Run(start, count, run.target + done)
            done += count


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as problem:
        raise DamagedArtifact(
            f"{path} is part of this store, and cannot be read: {problem}. `featuremill verify` "
            "says what else is damaged; run the flow again to remake it. h5py would show NaN there."
        ) from problem


def _sources(dataset: h5py.Dataset) -> list[_Source]:
    folder = Path(dataset.file.filename).resolve().parent
    found = [_source(mapping, folder) for mapping in dataset.virtual_sources()]
    return sorted(found, key=lambda source: source.first)


def _source(mapping: Any, folder: Path) -> _Source:
    here, last = (bound[0] for bound in mapping.vspace.get_select_bounds())
    there = mapping.src_space.get_select_bounds()[0][0]
    return _Source(here, last - here + 1, folder / mapping.file_name, mapping.dset_name, there)


def _positions(rows: Sequence[int] | slice | range | Array | None, count: int) -> Array:
    if rows is None or isinstance(rows, slice):
        return np.arange(count, dtype=np.int64)[rows or slice(None)]
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    wanted = np.where(wanted < 0, wanted + count, wanted)
    wrong = wanted[(wanted < 0) | (wanted >= count)]
    if wrong.size:
        raise IndexError(f"row {int(wrong[0])} was asked for; there are {count} rows, from 0 on.")
    return wanted


def _runs(wanted: Array) -> list[_Run]:
    """Return what is wanted as runs of neighbours, in the order of the file."""
    edges = np.flatnonzero(np.diff(wanted) != 1) + 1
    starts = np.concatenate([[0], edges])
    counts = np.diff(np.concatenate([starts, [len(wanted)]]))
    found = zip(wanted[starts].tolist(), counts.tolist(), starts.tolist(), strict=True)
    return sorted(_Run(*one) for one in found)


def _fill_from(dataset: h5py.Dataset, out: Array, runs: list[_Run], row_bytes: int) -> None:
    pieces: list[_Piece] = []
    for run in runs:
        places = _places(dataset, run, row_bytes)
        if places is None:
            span = slice(run.target, run.target + run.rows)
            dataset.read_direct(out, np.s_[run.start : run.start + run.rows], span)
        else:
            pieces += places
    _read_pieces(pieces, memoryview(out.reshape(-1).view(np.uint8).data))


def _places(dataset: h5py.Dataset, run: _Run, row_bytes: int) -> list[_Piece] | None:
    """Return where the rows of `run` lie in the file, or None where only HDF5 can tell."""
    if not dataset.dtype.isnative or dataset.dtype.hasobject or dataset.is_virtual:
        return None
    if dataset.file.mode != "r":  # a writer may hold rows that the file does not have yet
        return None
    path, target = Path(dataset.file.filename), run.target * row_bytes
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is None:  # nothing was ever written
            return None
        size = run.rows * row_bytes
        return list(_cut(_Piece(path, offset + run.start * row_bytes, target, size)))
    if dataset.chunks[1:] != dataset.shape[1:] or dataset.id.get_create_plist().get_nfilters():
        return None
    return _in_chunks(dataset, run, row_bytes, path)


def _in_chunks(dataset: h5py.Dataset, run: _Run, row_bytes: int, path: Path) -> list[_Piece] | None:
    height, zeros = dataset.chunks[0], (0,) * (len(dataset.shape) - 1)
    pieces: list[_Piece] = []
    row, stop = run.start, run.start + run.rows
    while row < stop:
        first = row - row % height
        count = min(stop, first + height) - row
        offset = dataset.id.get_chunk_info_by_coord((first, *zeros)).byte_offset
        if offset is None:
            return None
        target = (run.target + row - run.start) * row_bytes
        place = _Piece(path, offset + (row - first) * row_bytes, target, count * row_bytes)
        pieces += _cut(place)
        row += count
    return pieces


def _cut(piece: _Piece) -> Iterator[_Piece]:
    for start in range(0, piece.size, _PIECE_BYTES):
        size = min(_PIECE_BYTES, piece.size - start)
        yield _Piece(piece.path, piece.offset + start, piece.target + start, size)


def _read_pieces(pieces: list[_Piece], out: memoryview) -> None:
    descriptors = {
        path: os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in {p.path for p in pieces}
    }

    def read(piece: _Piece) -> None:
        _read_whole(descriptors[piece.path], piece, out)

    try:
        if sum(piece.size for piece in pieces) < _THREADED_BYTES:
            for piece in pieces:
                read(piece)
            return
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            list(pool.map(read, pieces))
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _read_whole(descriptor: int, piece: _Piece, out: memoryview) -> None:
    done = 0
    while done < piece.size:
        start = piece.target + done
        target = out[start : start + piece.size - done]
        count = os.preadv(descriptor, [target], piece.offset + done)
        if not count:
            raise DamagedArtifact(
                f"{piece.path} ends at byte {piece.offset + done}, in the middle of a row: it was "
                "cut. `featuremill verify` quarantines it; run the flow again to remake it."
            )
        done += count
