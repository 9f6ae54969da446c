"""Rows of an HDF5 dataset, read straight from their places in the file.

HDF5's own selection by a list of positions is up to a hundred times slower than the disk. Rows of
contiguous datasets, and of uncompressed chunks as wide as a row, lie in one piece: where, HDF5
says; the bytes then go into the result without a copy. What lies otherwise is read by HDF5.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from conf.machine import cores
from storage.errors import DamagedArtifact

Array = np.ndarray[Any, Any]

BLOCK_ROWS = 1024
"""Of pooled features that are looked at one after another: 2 MB, and twice that as float32."""
_THREADED_BYTES = 1 << 24  # 16 MiB: below it, threads cost more than they save
_PIECE_BYTES = 1 << 23  # 8 MiB a read
_FEW_CHUNKS = 1024  # so many are looked up at once, and remembered


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
        self._sources = _sources(dataset) if dataset.is_virtual and dataset.size else []
        self._starts = np.array([source.first for source in self._sources], np.int64)
        self._layouts: dict[tuple[Path, str], _Layout] = {}

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

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[tuple[int, Array]]:
        """Yield (first row, rows) for all rows, in blocks of `size`: memory is the block's."""
        for start in range(0, len(self), size):
            yield start, self.read(range(start, min(start + size, len(self))))

    def _fill(self, out: Array, runs: list[_Run]) -> None:
        if not self._sources:
            _read_pieces(self._pieces(self._dataset, out, runs), out)
            return
        parts: dict[tuple[Path, str], list[_Run]] = {}
        for run in runs:
            for path, name, piece in self._split(run):
                parts.setdefault((path, name), []).append(piece)
        pieces: list[_Piece] = []
        for (path, name), wanted in parts.items():
            if known := self._layouts.get((path, name)):
                pieces += [piece for run in wanted for piece in known.pieces(run) or ()]
            else:
                with _opened(path) as file:
                    pieces += self._pieces(file[name], out, wanted)
        _read_pieces(pieces, out)

    def _pieces(self, dataset: h5py.Dataset, out: Array, runs: list[_Run]) -> list[_Piece]:
        """Return where `runs` lie in the file; what lies otherwise is read at once, by HDF5."""
        chunk_rows = dataset.chunks[0] if dataset.chunks else max(1, len(dataset))
        blocks = {
            block
            for run in runs
            for block in range(run.start // chunk_rows, -(-(run.start + run.rows) // chunk_rows))
        }
        layout = _layout(dataset, self._row_bytes, sorted(blocks))
        if layout and None not in layout.offsets:
            self._layouts[Path(dataset.file.filename), dataset.name.lstrip("/")] = layout
        pieces: list[_Piece] = []
        for run in runs:
            found = layout.pieces(run) if layout else None
            if found is None:
                _by_hdf5(dataset, out, run)
            else:
                pieces += found
        return pieces

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
        raise _lost(path, problem) from problem


def _lost(path: Path, problem: OSError) -> DamagedArtifact:
    return DamagedArtifact(
        f"{path} is part of this store, and cannot be read: {problem}. `featuremill verify` says "
        "what else is damaged; run the flow again to remake it. h5py would show NaN there."
    )


def _sources(dataset: h5py.Dataset) -> list[_Source]:
    """Return where the rows of a virtual dataset come from; none where they are not whole rows,
    side by side and without a gap: then only HDF5 can tell."""
    folder = Path(dataset.file.filename).resolve().parent
    found: list[_Source] = []
    for mapping in _mappings(dataset):
        if not _takes_rows(mapping, dataset.shape):
            return []
        found.append(_source(mapping, folder))
    found.sort(key=lambda one: one.first)
    ends = [0, *(source.first + source.count for source in found)]
    return found if [*(source.first for source in found), len(dataset)] == ends else []


class _Mapping(NamedTuple):
    """A piece of a virtual dataset: which rows here are which rows of another dataset."""

    vspace: Any
    src_space: Any
    file_name: str
    dset_name: str


def _mappings(dataset: h5py.Dataset) -> Iterator[_Mapping]:
    """Yield the mappings of a virtual dataset one at a time: thousands together take tens of MB."""
    plan = dataset.id.get_create_plist()
    for number in range(plan.get_virtual_count()):
        yield _Mapping(
            plan.get_virtual_vspace(number),
            plan.get_virtual_srcspace(number),
            plan.get_virtual_filename(number),
            plan.get_virtual_dsetname(number),
        )


def _takes_rows(mapping: _Mapping, shape: tuple[int, ...]) -> bool:
    spaces = (mapping.vspace, mapping.src_space)
    if any(not _is_block(space, shape[1:]) for space in spaces) or mapping.file_name == ".":
        return False
    return bool(spaces[0].get_select_npoints() == spaces[1].get_select_npoints())


def _is_block(space: Any, row_shape: tuple[int, ...]) -> bool:
    """Whether `space` selects whole rows of `row_shape` that are neighbours."""
    if space.shape[1:] != row_shape or not space.shape:  # no shape: all, of who knows how many
        return False
    first, last = space.get_select_bounds()
    sizes = tuple(stop - start + 1 for start, stop in zip(first, last, strict=True))
    points = int(np.prod(sizes, dtype=np.int64))
    return bool(sizes[1:] == row_shape and space.get_select_npoints() == points)


def _source(mapping: _Mapping, folder: Path) -> _Source:
    here, last = (bound[0] for bound in mapping.vspace.get_select_bounds())
    there = mapping.src_space.get_select_bounds()[0][0]
    return _Source(here, last - here + 1, folder / mapping.file_name, mapping.dset_name, there)


def _positions(rows: Sequence[int] | slice | range | Array | None, count: int) -> Array:
    if rows is None or isinstance(rows, slice):
        return np.arange(count, dtype=np.int64)[rows or slice(None)]
    wanted = np.asarray(rows).reshape(-1)
    if wanted.dtype == bool and len(wanted) == count:
        return np.flatnonzero(wanted)
    if wanted.size and wanted.dtype.kind not in "iu":
        raise IndexError(f"rows of {wanted.dtype} were asked for; they are whole numbers.")
    wanted = wanted.astype(np.int64)
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


@dataclass(frozen=True)
class _Layout:
    """Where the rows of a dataset lie in its file: as one block, or in blocks of `height` rows."""

    path: Path
    row_bytes: int
    height: int
    """Rows of a block."""
    offsets: Sequence[int | None]
    """Where each block begins; None: it was never written."""

    def pieces(self, run: _Run) -> list[_Piece] | None:
        """Return where the rows of `run` lie, or None where some were never written."""
        pieces: list[_Piece] = []
        row, stop = run.start, run.start + run.rows
        while row < stop:
            block, inside = divmod(row, self.height)
            count = min(stop - row, self.height - inside)
            offset = self.offsets[block]
            if offset is None:
                return None
            start, target = offset + inside * self.row_bytes, run.target + row - run.start
            pieces += _cut(
                _Piece(self.path, start, target * self.row_bytes, count * self.row_bytes)
            )
            row += count
        return pieces


def _layout(dataset: h5py.Dataset, row_bytes: int, blocks: Sequence[int]) -> _Layout | None:
    """Return the layout of `dataset`, for chunks those numbered `blocks`; None where only HDF5 can
    tell where the rows lie."""
    if not dataset.dtype.isnative or dataset.dtype.hasobject or dataset.is_virtual:
        return None
    if dataset.file.mode != "r":  # a writer may hold rows that the file does not have yet
        return None
    path = Path(dataset.file.filename)
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return _Layout(path, row_bytes, max(1, len(dataset)), [offset])
    if dataset.chunks[1:] != dataset.shape[1:] or dataset.id.get_create_plist().get_nfilters():
        return None
    height, zeros = dataset.chunks[0], (0,) * (len(dataset.shape) - 1)
    offsets: list[int | None] = [None] * -(-len(dataset) // height)
    for block in blocks if len(offsets) > _FEW_CHUNKS else range(len(offsets)):
        found = dataset.id.get_chunk_info_by_coord((block * height, *zeros))
        offsets[block] = found.byte_offset
    return _Layout(path, row_bytes, height, offsets)


def _by_hdf5(dataset: h5py.Dataset, out: Array, run: _Run) -> None:
    span = slice(run.target, run.target + run.rows)
    dataset.read_direct(out, np.s_[run.start : run.start + run.rows], span)


def _cut(piece: _Piece) -> Iterator[_Piece]:
    for start in range(0, piece.size, _PIECE_BYTES):
        size = min(_PIECE_BYTES, piece.size - start)
        yield _Piece(piece.path, piece.offset + start, piece.target + start, size)


def _read_pieces(pieces: list[_Piece], rows: Array) -> None:
    out = memoryview(rows.reshape(-1).view(np.uint8).data)
    with ExitStack() as opened:
        descriptors = {path: _descriptor(path, opened) for path in {p.path for p in pieces}}

        def read(piece: _Piece) -> None:
            _read_whole(descriptors[piece.path], piece, out)

        if sum(piece.size for piece in pieces) < _THREADED_BYTES:
            for piece in pieces:
                read(piece)
            return
        with ThreadPoolExecutor(min(4, cores())) as pool:
            list(pool.map(read, pieces))


def _descriptor(path: Path, opened: ExitStack) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        raise _lost(path, problem) from problem
    opened.callback(os.close, descriptor)
    return descriptor


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
