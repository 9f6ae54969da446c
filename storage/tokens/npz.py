"""The metadata archive, read without running anything that it says.

Its texts are object arrays, which NumPy stores as pickles. This reader builds arrays of text, bytes
and numbers from them and nothing else: any other name that a pickle asks for raises.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from storage.tokens.errors import BadActivations

Array = np.ndarray[Any, Any]

_NUMPY_PLACES = ("numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED = {
    **{(place, "_reconstruct"): np._core.multiarray._reconstruct for place in _NUMPY_PLACES},  # type: ignore[attr-defined]
    **{(place, "scalar"): np._core.multiarray.scalar for place in _NUMPY_PLACES},  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _OnlyArrays(pickle.Unpickler):
    """Builds what an object array of text, bytes and numbers is made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of NumPy's array builders; raises UnpicklingError for any other name."""
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
    except (zipfile.BadZipFile, EOFError, ValueError) as problem:
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
            "was run. Do not trust this file; ask its author for a Parquet file."
        ) from problem


def _checked(found: Any, name: str, path: Path) -> Array:
    plain = (str, bytes, int, float, np.number, np.str_, np.bytes_, type(None))
    if isinstance(found, np.ndarray) and all(isinstance(item, plain) for item in found.flat):
        return found
    kinds = {type(item).__name__ for item in getattr(found, "flat", [found])}
    raise BadActivations(
        f"{path}: {name} holds {', '.join(sorted(kinds))}; text, bytes and numbers are read. "
        "Nothing of it was run."
    )
