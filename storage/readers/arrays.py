"""Images that a source holds as arrays, served as the bytes of NumPy files."""

import struct
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from storage.readers.formats import ARRAY_FORMAT
from storage.readers.protocol import Entry, Stamp

_ALIGNMENT_BYTES = 64  # of the data in a NumPy file


def pack(pixels: NDArray[np.uint8]) -> bytes:
    """Return `pixels`, (height, width) or (height, width, 3), as the bytes of a NumPy file.

    The header is written here, because these bytes are hashed: it must never change, whatever
    version of NumPy runs.
    """
    shape = ", ".join(str(length) for length in pixels.shape)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}"
    padding = -(10 + len(header) + 1) % _ALIGNMENT_BYTES
    text = f"{header}{' ' * padding}\n".encode("ascii")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + pixels.tobytes()


def unpack(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels, uint8 (height, width) or (height, width, 3), of a NumPy file's bytes.

    Raises ValueError for any other array; objects are never loaded.
    """
    try:
        array = np.load(BytesIO(data), allow_pickle=False)
    except (EOFError, SyntaxError, OSError) as error:
        raise ValueError(f"not a NumPy file: {error}") from error
    if array.dtype != np.uint8 or not is_image_shape(array.shape):
        raise ValueError(f"an array of {array.dtype} {array.shape} is no image")
    return np.ascontiguousarray(array)


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is a grey or an RGB image of at least one pixel."""
    return (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and 0 not in shape


class ArrayRows:
    """Rows of arrays that lie in one file, which was stamped when its entries were listed."""

    formats = frozenset({ARRAY_FORMAT})
    skipped: tuple[str, ...] = ()

    def __init__(
        self,
        entries: Callable[[], Sequence[Entry]],
        stamp: Callable[[], Stamp],
        pixels: Callable[[str], NDArray[np.uint8]],
    ) -> None:
        self._entries, self._stamp, self._pixels = entries, stamp, pixels

    def entries(self) -> list[Entry]:
        """Return every row, in order; the file's index and labels are read, no image."""
        return list(self._entries())

    def stamp(self, uri: str) -> Stamp:
        """Return the stamp of the file as it is now, for this row of it; raises Unreadable."""
        return self._stamp()._replace(member=uri)

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        """Return the row as the bytes of a NumPy file; raises Unreadable."""
        return pack(self._pixels(uri))[:first_bytes]
