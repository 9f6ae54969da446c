"""What a source lists, as columns: of 100,000 files it matters how many objects are made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, overload

from storage.readers.protocol import Entry, Stamp

_NONE = Stamp("", 0, 0)
"""Stands for a stamp that is not there: no file has an empty path."""


class Stamps(NamedTuple):
    """Stamps as columns; the path of a row that has none is empty."""

    path: Sequence[str]
    size_bytes: Sequence[int]
    mtime_ns: Sequence[int]
    member: Sequence[str]

    @classmethod
    def of(cls, stamps: Sequence[Stamp | None]) -> "Stamps":
        """Return the columns of `stamps`."""
        return cls(*zip(*(stamp or _NONE for stamp in stamps), strict=True)) if stamps else _EMPTY

    def row(self, at: int) -> Stamp | None:
        """Return one stamp, None where there is none."""
        stamp = Stamp(self.path[at], self.size_bytes[at], self.mtime_ns[at], self.member[at])
        return stamp if stamp.path else None


_EMPTY = Stamps((), (), (), ())


@dataclass(frozen=True, eq=False)
class Listing(Sequence[Entry]):
    """Entries, in their order: a sequence of equal length for each of their fields."""

    uri: Sequence[str]
    split: Sequence[str]
    label: Sequence[int]
    label_name: Sequence[str | None]
    stamps: Stamps
    problem: Sequence[str | None]
    is_sure: Sequence[bool]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Listing":
        """Return `entries` as columns: themselves, where they are a listing."""
        if isinstance(entries, Listing):
            return entries
        columns: list[Any] = list(zip(*entries, strict=True)) or [()] * len(fields(cls))
        named = dict(zip(Entry._fields, columns, strict=True))
        return cls(stamps=Stamps.of(named.pop("stamp")), **named)

    def __len__(self) -> int:
        return len(self.uri)

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...

    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        return Entry(
            self.uri[at],
            self.split[at],
            self.label[at],
            self.label_name[at],
            self.stamps.row(at),
            self.problem[at],
            self.is_sure[at],
        )

    def __iter__(self) -> Iterator[Entry]:
        return map(self.__getitem__, range(len(self)))
