"""What a reader of rows is: entries without opening an image, then the bytes of one of them."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from conf.errors import FeaturemillError, RecipeError, WorldError


class Stamp(NamedTuple):
    """What tells, without opening it, that a file is the one that was read before."""

    path: str
    size_bytes: int
    mtime_ns: int
    member: str = ""
    """Which row of the file, where one file holds many."""


class Entry(NamedTuple):
    """A row as its source lists it; its content was not looked at."""

    uri: str
    """The row's name: valid text, relative to the source."""
    split: str = "unspecified"
    label: int = -1
    """-1: there is none."""
    label_name: str | None = None
    stamp: Stamp | None = None
    problem: str | None = None
    """Why the row cannot be read; its content is not asked for then."""
    is_sure: bool = True
    """False: only its first bytes can tell whether this is an image, and a row at all."""


class Rows(Protocol):
    """A source of rows, opened. All methods may be called from several threads at once."""

    @property
    def formats(self) -> frozenset[str]:
        """The formats that its bytes may have, for `storage.readers.pixels.decode`."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """What lies in the source but cannot be a row, by uri."""
        ...

    def entries(self) -> Sequence[Entry]:
        """Return every row in the source's order, as it is now; no image is opened.

        A `storage.readers.listing.Listing` where there may be very many.
        """
        ...

    def stamp(self, uri: str) -> Stamp | None:
        """Return the stamp of a row as it is now, None where there are none; raises Unreadable."""
        ...

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        """Return the content of a row, or only its first bytes; raises Unreadable."""
        ...


class Unreadable(FeaturemillError):
    """The bytes of a row cannot be had: it is gone, forbidden, outside the roots, not a file.

    `reason` starts with a word or two that can be counted, a colon, and the particulars.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SourceMissing(WorldError):
    """The folder, table or archive that a source names is not there."""


class SourceUnusable(RecipeError):
    """A table or archive is there, but is not what its source needs; nothing was read."""


_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


def numbered(names: Sequence[str | None]) -> list[tuple[int, str | None]]:
    """Return (label, label name) for every name: its place among the sorted names, -1 for None."""
    place = {name: at for at, name in enumerate(sorted({name for name in names if name}))}
    return [(place[name], name) if name else (-1, None) for name in names]


def labels_of(cells: Sequence[str | int | None]) -> list[tuple[int, str | None]]:
    """Return (label, label name) for every cell; None and empty text give (-1, None).

    Whole numbers (as text too) are labels themselves; as soon as one cell is other text, all are
    names. Raises ValueError for a number below -1.
    """
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    if not all(_WHOLE_NUMBER.fullmatch(text) for text in texts if text):
        return numbered([text or None for text in texts])
    numbers = [int(text) if text else -1 for text in texts]
    if numbers and not -1 <= min(numbers) <= max(numbers) < 1 << 63:
        raise ValueError("a label is a whole number from 0 on; -1 or nothing says there is none")
    return [(number, None) for number in numbers]
