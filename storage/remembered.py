"""What is remembered of files: of one, of many as columns, and of a whole listing as one block."""

import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from storage.readers.listing import Stamps
from storage.readers.protocol import Stamp

_AS_BYTES = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # as os.fsencode does
_BETWEEN = b"\0\0"  # no path and no name of a row is empty or holds a NUL
_SHA256_BYTES = 32
_COLUMNS = 5


class Verdict(NamedTuple):
    """What decoding a content came to. `problem` is None for an image."""

    width_px: int | None
    height_px: int | None
    problem: str | None
    is_checked: bool | int = True
    """False (0 in SQLite): too large for the limit of the time, so nobody looked at its pixels."""


class Known(NamedTuple):
    """What is remembered of an unchanged file, or of a row of one."""

    sha256: str | None
    """None: it is no image."""
    size_bytes: int | None
    """Of the content: a row of an archive is smaller than its file."""
    width_px: int | None = None
    height_px: int | None = None
    problem: str | None = None
    is_checked: int | None = None
    """None: there is no verdict on it."""

    @property
    def verdict(self) -> Verdict | None:
        """What decoding came to, None where that is not known."""
        if self.is_checked is None:
            return None
        return Verdict(self.width_px, self.height_px, self.problem, bool(self.is_checked))

    @property
    def is_whole(self) -> bool:
        """Whether this is an image of which all is known, as nearly everything is."""
        facts = (self.sha256, self.size_bytes, self.width_px, self.height_px)
        return bool(self.is_checked) and self.problem is None and None not in facts


@dataclass
class Remembered:
    """What is remembered of many files: columns of whole images, and what else there is."""

    columns: Sequence[list[Any]]
    """Of every file sha256, size_bytes, width_px and height_px, as Known has them; None where it is
    not known to be a whole image."""
    others: dict[int, Known] = field(default_factory=dict)
    """By their places, those of which something else is known."""

    @property
    def sha256(self) -> list[str | None]:
        """The column of that name."""
        return self.columns[0]

    def row(self, at: int) -> Known | None:
        """Return what is known of one file."""
        if self.sha256[at] is None:
            return self.others.get(at)
        return Known(*(column[at] for column in self.columns))._replace(is_checked=1)

    def add(self, at: int, known: Known) -> None:
        """Take down what was found out about one file."""
        if known.is_whole:
            for column, value in zip(self.columns, known[:4], strict=True):
                column[at] = value
        else:
            self.others[at] = known


class Block(NamedTuple):
    """The whole images of one listing, their stamps with them, as bytes.

    Hundreds of thousands of rows of a table cost more to fetch than the files to look at; this
    costs next to nothing, above all where nothing has changed.
    """

    places: bytes
    """What names each file or row of one (`places_of`), two NULs between them."""
    numbers: bytes
    """Int64, a column after the other: size and mtime (ns) of the file, bytes, width and height
    (px) of the content."""
    shas: bytes
    """The sha256 of each content, 32 bytes."""

    @classmethod
    def of(cls, places: Sequence[bytes], stamps: Stamps, found: Remembered) -> "Block":
        """Return the block of all whole images in `found`."""
        facts = zip(places, *stamps[1:3], *found.columns, strict=True)
        whole = [row for row in facts if None not in row]
        place, sha256, *numbers = ([row[at] for row in whole] for at in (0, 3, 1, 2, 4, 5, 6))
        return cls(_BETWEEN.join(place), _packed(*numbers), bytes.fromhex("".join(sha256)))

    def recall(self, places: Sequence[bytes], stamps: Stamps) -> Remembered:
        """Return what this holds of the files named `places`, where they bear the same stamps."""
        here = self.places.split(_BETWEEN) if self.places else []
        count = len(here)
        numbers = array("q", self.numbers).tolist()
        sizes, mtimes, *contents = (
            numbers[at * count : (at + 1) * count] for at in range(_COLUMNS)
        )
        now = list(stamps.size_bytes), list(stamps.mtime_ns)
        if here == places and now == (sizes, mtimes):
            return Remembered([_hex(self.shas), *contents])
        at_place = dict(zip(here, range(count), strict=True))
        found = [
            at if at is not None and sizes[at] == size_bytes and mtimes[at] == mtime_ns else None
            for at, size_bytes, mtime_ns in zip(map(at_place.get, places), *now, strict=True)
        ]
        columns: list[list[Any]] = [_hex(self.shas), *contents]
        return Remembered([[None if at is None else one[at] for at in found] for one in columns])

    @property
    def is_sound(self) -> bool:
        """Whether its columns are of one length."""
        count = len(self.shas) // _SHA256_BYTES
        places = self.places.count(_BETWEEN) + bool(self.places)
        lengths = (len(self.shas), len(self.numbers))
        return places == count and lengths == (_SHA256_BYTES * count, _COLUMNS * 8 * count)


def places_of(stamps: Stamps) -> list[bytes]:
    """Return what names each file or row of one, b"" where there is no stamp: its path, and of a
    row of a file NUL and its name behind it."""
    if not len(stamps.path):
        return []
    paths = "\0".join(stamps.path).encode(*_AS_BYTES).split(b"\0")  # a third of one by one's time
    if not any(stamps.member):
        return paths
    members = (member.encode() for member in stamps.member)
    pairs = zip(paths, members, strict=True)
    return [path + b"\0" + member if member else path for path, member in pairs]


def place_of(stamp: Stamp) -> bytes:
    """Return what names one file or row of one; see `places_of`."""
    return places_of(Stamps.of([stamp]))[0]


def folder_of(places: Sequence[bytes]) -> bytes:
    """Return the folder, or the file, that all of `places` lie in."""
    ends = [place.partition(b"\0")[0] for place in (min(places), max(places))]
    try:
        return os.path.commonpath(ends)
    except ValueError:  # one is no absolute path: names of what is drawn are none
        return b""


def _packed(*columns: Iterable[int]) -> bytes:
    return array("q", chain.from_iterable(columns)).tobytes()


def _hex(shas: bytes) -> list[str]:
    text, letters = shas.hex(), 2 * _SHA256_BYTES
    return [text[start : start + letters] for start in range(0, len(text), letters)]
