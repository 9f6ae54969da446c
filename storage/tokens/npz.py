"""The metadata archive, read without running anything that it says.

Its texts are object arrays, which NumPy stores as pickles. This reader builds arrays of text, bytes
and numbers from them and nothing else: any other name that a pickle asks for raises.
"""

import io
import pickle
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from storage.tokens.errors import BadActivations

Array = np.ndarray[Any, Any]

_NUMPY_PLACES = ("numpy.core.multiarray", "numpy._core.multiarray")
_PLAIN = (str, bytes, int, float, np.number, np.str_, np.bytes_, type(None))


class _Kind:
    """What a pickle's dtype stands for. NumPy's own would take a state that lets it read bytes as
    addresses, and end the process."""

    def __init__(self, code: str, *_: Any) -> None:
        if not (isinstance(code, str) and re.fullmatch(r"[OUSfiub]\d{1,9}", code)):
            raise pickle.UnpicklingError("it has a dtype of another kind")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, self.order, inner, names, fields, *_ = state
        if self.order not in ("<", ">", "=", "|") or (inner, names, fields) != (None, None, None):
            raise pickle.UnpicklingError("it has a dtype of parts")


class _Name:
    """What a pickle's ndarray stands for: the name alone."""


class _Array:
    """What an object array of a pickle stands for: its shape and items."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        _, self.shape, kind, _, self.items = state
        if not (isinstance(kind, _Kind) and kind.code[0] == "O" and isinstance(self.items, list)):
            raise pickle.UnpicklingError("it has an array of another kind")


class _Scalar:
    """A NumPy scalar of a pickle: calling this returns its value."""

    def __new__(cls, kind: Any, data: Any) -> Any:
        """Return the value that `data` are the bytes of."""
        if not (isinstance(kind, _Kind) and kind.code[0] != "O" and isinstance(data, bytes)):
            raise pickle.UnpicklingError("it has a scalar of another kind")
        if not data:
            return b"" if kind.code[0] == "S" else ""
        (value,) = np.frombuffer(data, np.dtype(kind.order + kind.code))
        return value


_ALLOWED = {
    **{(place, "_reconstruct"): _Array for place in _NUMPY_PLACES},
    **{(place, "scalar"): _Scalar for place in _NUMPY_PLACES},
    ("numpy", "ndarray"): _Name,
    ("numpy", "dtype"): _Kind,
}


class _OnlyArrays(pickle.Unpickler):
    """Builds what an object array of text, bytes and numbers is made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of one of NumPy's builders; raises UnpicklingError for others."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of the NPZ at `path`, one value a review.

    Raises BadActivations for what is no such archive, and for a pickle that asks for anything but
    arrays of text, bytes and numbers, of which nothing is run.
    """
    if not path.is_file():
        raise BadActivations(f"There is no metadata file {path}. Set files.metadata.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name[:-4]: _read(archive, name, path) for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError,
            RuntimeError) as problem:  # fmt: skip
        raise BadActivations(
            f"{path} is not a whole NPZ archive ({problem}). It was cut or is of another format; "
            "fetch it again."
        ) from problem


def _read(archive: zipfile.ZipFile, name: str, path: Path) -> Array:
    with archive.open(name) as member:
        data = io.BytesIO(member.read())
    version = np.lib.format.read_magic(data)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    _, _, kind = read.get(version[0], read[2])(data)
    if not kind.hasobject:
        data.seek(0)
        return np.lib.format.read_array(data, allow_pickle=False)
    return _checked(_unpickled(data, name, path), name, path)


def _unpickled(data: io.BytesIO, name: str, path: Path) -> Any:
    try:
        return _OnlyArrays(data).load()
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError,
            IndexError, KeyError, MemoryError, OverflowError) as problem:  # fmt: skip
        raise BadActivations(
            f"{path}: {name} is not an array of text, bytes and numbers: {problem}. Nothing of it "
            "was run. Do not trust this file; ask its author for one of plain arrays (numpy.savez)."
        ) from problem


def _checked(found: Any, name: str, path: Path) -> Array:
    items = found.items if isinstance(found, _Array) else [found]
    if isinstance(found, _Array) and all(isinstance(item, _PLAIN) for item in items):
        out = np.empty(len(items), dtype=object)
        out[:] = items
        return out.reshape(found.shape)
    kinds = {type(item).__name__ for item in items}
    raise BadActivations(
        f"{path}: {name} holds {', '.join(sorted(kinds))}; text, bytes and numbers are read. "
        "Nothing of it was run. Write one value a review."
    )
