"""Scikit-learn's handwritten digits, read from the file that ships inside it."""

import gzip
import importlib.util
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conf.sources.digits import Source
from storage.readers.arrays import ArrayRows
from storage.readers.files import stamp_file
from storage.readers.protocol import Entry, SourceMissing, Stamp

_FILE = Path("datasets", "data", "digits.csv.gz")
_COLUMNS = 8 * 8 + 1  # the pixels of a row, then its label


def open_source(spec: Source, roots: tuple[Path, ...]) -> ArrayRows:
    """Return the digits; raises SourceMissing where scikit-learn is not installed.

    Scikit-learn itself is not imported: that takes a second. `roots` plays no part.
    """
    digits = Digits(find_inside("sklearn", "scikit-learn", _FILE))
    return ArrayRows(lambda: digits.entries()[: spec.limit], digits.stamp, digits.pixels)


def find_inside(module: str, distribution: str, file: Path) -> Path:
    """Return a file that ships inside a package, which is not imported; raises SourceMissing."""
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, file)).is_file():
            return path
    raise SourceMissing(
        f"the file {file} of {distribution} is not there: "
        + (f"{distribution} is installed without it." if spec else "it is not installed.")
        + f" `pip install --force-reinstall {distribution}` brings it."
    )


class Digits:
    """1,797 grey images of 8 x 8 pixels."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        cells = gzip.decompress(self._path.read_bytes()).replace(b"\n", b",").strip(b",")
        return np.array(cells.split(b","), dtype=np.float64).astype(np.int64).reshape(-1, _COLUMNS)

    def stamp(self) -> Stamp:
        """Return the stamp of scikit-learn's file as it is now; raises Unreadable."""
        return stamp_file(str(self._path))

    def entries(self) -> list[Entry]:
        """Return all digits in scikit-learn's order; every fifth is held out as split "test"."""
        stamp = self.stamp()
        return [
            Entry(
                uri := f"{at:04d}",
                "test" if at % 5 == 4 else "train",
                label,
                stamp=stamp._replace(member=uri),
            )
            for at, label in enumerate(self._table[:, -1].tolist())
        ]

    def pixels(self, uri: str) -> NDArray[np.uint8]:
        """Return a digit, uint8 (8, 8): its values 0 to 16 scaled to 0 to 255, rounded."""
        values = self._table[int(uri), :-1].reshape(8, 8)
        return np.rint(values * 255 / 16).astype(np.uint8)
