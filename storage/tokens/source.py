"""The seed's activation file: sparse activations by token, opened with every check on its form."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage.tokens.errors import BadActivations

Array = np.ndarray[Any, Any]

_PIECE_TOKENS = 1 << 14
_DATASETS = ("z_idx", "z_val", "rev_idx", "review_ids_unique")


@dataclass(frozen=True)
class Activations:
    """An open activation file whose datasets fit one another; values are checked as they are
    read."""

    path: Path
    file: h5py.File

    @cached_property
    def _datasets(self) -> dict[str, h5py.Dataset]:
        """The datasets by name: looking one up in the file costs as much as reading a piece."""
        return {name: self.file[name] for name in _DATASETS}

    @property
    def n_tokens(self) -> int:
        """How many tokens the file has."""
        return int(self.file["z_idx"].shape[0])

    @property
    def k(self) -> int:
        """How many features are listed for a token."""
        return int(self.file["z_idx"].shape[1])

    @property
    def piece_tokens(self) -> int:
        """How many tokens are best read at once: what stays in the cache until it is used, but
        whole chunks, of which HDF5 would decompress every one anew for each read of a part."""
        is_plain = all(self.file[name].chunks is None for name in ("z_idx", "z_val"))
        return _PIECE_TOKENS if is_plain else 1 << 16

    def review_ids(self) -> Array:
        """Return the ids of the reviews, bytes as the file has them, in its order."""
        return as_bytes(self._ids("review_ids_unique", 0, len(self.file["review_ids_unique"])))

    def token_reviews(self, start: int, stop: int) -> Array:
        """Return the review ids of the tokens from `start` to `stop`, as fixed-width bytes."""
        return as_bytes(self._ids("rev_idx", start, stop))

    def read(
        self, start: int, stop: int, into: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Return the features (n, k) int32 and the values (n, k) float32 of a range of tokens.

        They lie in the buffers `into` that `buffers` gave, if any, until the next read. An index
        that int32 cannot hold becomes -1, a value that float32 cannot hold infinite: both
        are refused by whoever looks at them.
        """
        features, values = into or self.buffers(stop - start)
        return (
            _as_int32(self._rows("z_idx", start, stop, features)),
            _as_float32(self._rows("z_val", start, stop, values)),
        )

    def listed(self, token: int) -> tuple[list[Any], list[Any]]:
        """Return the features and the values of one token, as the file has them."""
        features, values = (self._ids(name, token, token + 1)[0] for name in ("z_idx", "z_val"))
        return features.tolist(), values.tolist()

    def buffers(self, tokens: int) -> tuple[Array, Array]:
        """Return room for so many tokens: fresh memory for every read costs as much as the read."""
        kinds = (self.file[name].dtype for name in ("z_idx", "z_val"))
        features, values = (np.empty((tokens, self.k), kind) for kind in kinds)
        return features, values

    def _rows(self, name: str, start: int, stop: int, into: Array) -> Array:
        """Read rows into `into`: from the file itself where they lie there as they are wanted, for
        HDF5's own calls cost half as much again, and h5py's twice as much."""
        out, place = into[: stop - start], self._places[name]
        if not out.size:
            return out
        with self._told(name, start, stop):
            if place is not None:
                _fill(self._descriptor, place + start * out.strides[0], out)
            else:
                dataset = self._datasets[name].id
                rows = dataset.get_space()
                rows.select_hyperslab((start, 0), out.shape)
                dataset.read(h5py.h5s.create_simple(out.shape), rows, out)
        return out

    @cached_property
    def _places(self) -> dict[str, int | None]:
        """Where the rows of each dataset begin in the file; None: in pieces, packed, elsewhere."""
        return {name: _place_of(dataset) for name, dataset in self._datasets.items()}

    @cached_property
    def _descriptor(self) -> int:
        """The open file's: HDF5 takes longer to name it than to read a piece of a part."""
        descriptor: int = self.file.id.get_vfd_handle()
        return descriptor

    def _ids(self, name: str, start: int, stop: int) -> Array:
        with self._told(name, start, stop):
            ids: Array = self.file[name][start:stop]
        return ids

    @contextmanager
    def _told(self, name: str, start: int, stop: int) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise BadActivations(
                f"{self.path}: {name} cannot be read from {start} to {stop} ({problem}). The "
                "file is damaged or cut; fetch it again."
            ) from problem


@contextmanager
def open_activations(path: Path) -> Iterator[Activations]:
    """Yield the activation file at `path`; raises BadActivations for a wrong form."""
    with _open(path) as file:
        _check_datasets(path, file)
        _check_shapes(path, file)
        yield Activations(path, file)


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise BadActivations(f"There is no activation file {path}. Set files.activations.")
    try:
        return h5py.File(path, "r")
    except OSError as problem:
        raise BadActivations(
            f"{path} is not a whole HDF5 file ({problem}). It was cut or is of another format; "
            "fetch it again, or set files.activations to the file with z_idx and z_val."
        ) from problem


def _place_of(dataset: h5py.Dataset) -> int | None:
    is_native = dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype.newbyteorder("=")))
    is_plain = is_native and dataset.chunks is None and not dataset.external
    place: int | None = dataset.id.get_offset() if is_plain else None
    return place


def _fill(descriptor: int, place: int, out: Array) -> None:
    """Fill `out` with the bytes at `place`; raises OSError where the file ends before."""
    room, done = out.data.cast("B"), 0
    while done < len(room):
        read = os.preadv(descriptor, [room[done:]], place + done)
        if not read:
            raise OSError(f"the file ends at byte {place + done}")
        done += read


def _check_datasets(path: Path, file: h5py.File) -> None:
    missing = [n for n in _DATASETS if not isinstance(file.get(n), h5py.Dataset)]
    if missing:
        raise BadActivations(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(file) or 'nothing'}. An "
            f"activation file has {', '.join(_DATASETS)}."
        )
    if any(h5py.check_vlen_dtype(file[name].dtype) for name in ("z_idx", "z_val")):
        raise BadActivations(
            f"{path}: k is not constant: {_lengths(file)}. Write (n_tokens, k) arrays; pad short "
            "rows with feature 0 and the value 0."
        )
    if file["z_idx"].dtype.kind not in "iu" or file["z_val"].dtype.kind != "f":
        raise BadActivations(
            f"{path}: z_idx is {file['z_idx'].dtype} and z_val {file['z_val'].dtype}; integers and "
            "floats are needed. Are the two swapped?"
        )


def _lengths(file: h5py.File) -> str:
    """Return where the rows of z_idx or z_val change their length, in words."""
    for name in ("z_idx", "z_val"):
        if h5py.check_vlen_dtype(file[name].dtype):
            lengths = [len(row) for row in file[name][:_PIECE_TOKENS]]
            for token, length in enumerate(lengths):
                if length != lengths[0]:
                    return f"{name} lists {lengths[0]} at token 0 and {length} at token {token}"
    return "z_idx or z_val holds rows of varying length"


def _check_shapes(path: Path, file: h5py.File) -> None:
    features, values, reviews = (file[name].shape for name in ("z_idx", "z_val", "rev_idx"))
    if len(features) != 2 or features != values:
        raise BadActivations(
            f"{path}: z_idx is {features} and z_val {values}; both must be (n_tokens, k). Write "
            "them anew, a row a token."
        )
    if reviews != features[:1]:
        is_turned = reviews == features[1:]
        hint = (
            "z_idx looks transposed. Write z_idx.T and z_val.T"
            if is_turned
            else "one of them is cut. Fetch the file again"
        )
        raise BadActivations(
            f"{path}: z_idx is {features}, but rev_idx is {reviews}, not ({features[0]},): {hint}."
        )
    if len(file["review_ids_unique"].shape) != 1:
        raise BadActivations(
            f"{path}: review_ids_unique is {file['review_ids_unique'].shape}, not (n_reviews,)."
        )
    if not all(features) or features[0] >= 1 << 32:
        raise BadActivations(f"{path}: z_idx is {features}; 1 to 2^32 tokens and a k are needed.")


def as_bytes(ids: Array) -> Array:
    """Return `ids`, bytes or text, as fixed-width bytes (UTF-8)."""
    if ids.dtype.kind == "S":
        return ids
    found = [i if isinstance(i, bytes) else str(i).encode() for i in ids.tolist()]
    return np.array(found, dtype=np.bytes_) if found else np.empty(0, "S1")


def _as_int32(indices: Array) -> Array:
    if indices.dtype == np.int32:
        return indices
    if indices.dtype.itemsize >= 4:
        indices = np.where((indices >= 0) & (indices < 1 << 31), indices, -1)
    return indices.astype(np.int32)


def _as_float32(values: Array) -> Array:
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        narrowed: Array = values.astype(np.float32)
    lost = (narrowed == 0) & (values > 0)  # active is decided by what the file says
    narrowed[lost] = np.finfo(np.float32).smallest_subnormal
    return narrowed
