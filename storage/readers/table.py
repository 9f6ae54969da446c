"""Images listed in a CSV, JSONL or Parquet file."""

import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from conf.errors import did_you_mean, nearest
from conf.sources.table import Source
from storage.readers.files import Fence, path_of, read_file, require, stamp_file, uri_of
from storage.readers.formats import IMAGE_FORMATS
from storage.readers.protocol import Entry, SourceUnusable, Stamp, Unreadable, labels_of

Columns = dict[str, list[Any]]
T = TypeVar("T")


def open_source(spec: Source, roots: tuple[Path, ...]) -> "TableRows":
    """Return the rows of the table `spec.path`; raises SourceMissing when there is none."""
    return TableRows(spec, require(spec.path, "table"), roots)


class TableRows:
    """The rows of a table, in its order. A row's uri is its path relative to the table's folder."""

    formats = IMAGE_FORMATS
    skipped: tuple[str, ...] = ()

    def __init__(self, spec: Source, path: Path, roots: tuple[Path, ...]) -> None:
        self._spec = spec
        self._table = path
        self._folder = str(path.parent)
        self._fence = Fence(path.parent, *roots)

    def entries(self) -> list[Entry]:
        """Return every row of the table; files that are not there are rows with a problem.

        Raises SourceUnusable for a table that cannot be read or lacks a column.
        """
        columns = _columns(self._table)
        paths = self._column(columns, "path_column")[: self._spec.limit]
        labels = self._cells(columns, "label_column", _labels)
        splits = self._cells(columns, "split_column", _splits)
        return [
            self._entry(cell)._replace(
                split=splits[at] if splits else "unspecified",
                label=labels[at][0] if labels else -1,
                label_name=labels[at][1] if labels else None,
            )
            for at, cell in enumerate(paths)
        ]

    def stamp(self, uri: str) -> Stamp:
        """Return the stamp of a file as it is now; raises Unreadable."""
        path = self._path(path_of(uri))
        self._fence.resolve(path)
        return stamp_file(path)

    def read(self, uri: str, *, first_bytes: int | None = None) -> bytes:
        """Return the bytes of a file; raises Unreadable."""
        return read_file(self._fence.resolve(self._path(path_of(uri))), first_bytes)

    def _path(self, cell: str) -> str:
        return os.path.normpath(os.path.join(self._folder, cell))

    def _entry(self, cell: object) -> Entry:
        if not isinstance(cell, str) or not cell:
            return Entry("", problem="no path: the table's cell is empty or not text")
        path = self._path(cell)
        uri = uri_of(os.path.relpath(path, self._folder) if os.path.isabs(cell) else cell)
        try:
            self._fence.resolve(path)
            return Entry(uri, stamp=stamp_file(path))
        except Unreadable as error:
            return Entry(uri, problem=error.reason)

    def _cells(
        self, columns: Columns, setting: str, read: Callable[[list[Any]], list[T]]
    ) -> list[T]:
        """Return what `read` makes of the column that a setting names."""
        cells = self._column(columns, setting)
        try:
            return read(cells)
        except ValueError as error:
            name = getattr(self._spec, setting)
            raise SourceUnusable(f"the column {name!r} of {self._table}: {error}.") from error

    def _column(self, columns: Columns, setting: str) -> list[Any]:
        """Return the cells of the column that a setting names, [] where it may and does lack."""
        name = getattr(self._spec, setting)
        if name is None or name in columns:
            return columns[name] if name is not None else []
        # A default that is nearly met is a misspelt heading: its labels must not vanish silently.
        is_free = setting != "path_column" and setting not in self._spec.model_fields_set
        if is_free and nearest(name, columns) is None:
            return []
        raise SourceUnusable(
            f"{self._table} has no column {name!r}. {did_you_mean(name, columns)} "
            f"Set {setting} to the column that is meant"
            + ("." if setting == "path_column" else ", or to None in Python to do without.")
        )


def _labels(cells: list[Any]) -> list[tuple[int, str | None]]:
    return labels_of([_label(cell) for cell in cells])


def _label(cell: object) -> str | int | None:
    """Return a cell as a label; the numbers of a column with gaps come as floats, gaps as NaN."""
    match cell:
        case None:
            return None
        case str():
            return _whole(cell)
        case bool():
            raise ValueError("true and false are no labels; write 0 and 1, or names")
        case int():
            return cell
        case float() if cell != cell:
            return None
        case float() if cell.is_integer():
            return int(cell)
    raise ValueError(f"{cell!r} is neither a whole number nor a name")


def _splits(cells: list[Any]) -> list[str]:
    missing = (None, "")
    return ["unspecified" if c in missing or c != c else _whole(str(c)) for c in cells]


def _whole(text: str) -> str:
    """Return `text`, which JSON may have cut amid a character; raises ValueError if so."""
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{text!r} holds half a character (a lone surrogate); write it whole")
    return text


def _columns(table: Path) -> Columns:
    readers: dict[str, Callable[[Path], Columns]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": _read_parquet,
    }
    suffix = table.suffix.lower()
    if suffix not in readers:
        raise SourceUnusable(
            f"{table} is no table that is read here: its suffix is {suffix or 'missing'!r}, known "
            f"are {', '.join(readers)}. Convert it, or rename it if it is one of them."
        )
    return readers[suffix](table)


def _read_csv(table: Path) -> Columns:
    with table.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = list(csv.reader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceUnusable(f"{table} is not a CSV file in UTF-8: {error}.") from error
    heading, rows = (lines[0], [line for line in lines[1:] if line]) if lines else ([], [])
    _refuse_twice(table, heading)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(heading):
            raise SourceUnusable(
                f"{table}: row {number} has {len(row)} cells, the heading has {len(heading)}. "
                "Quote cells that hold commas."
            )
    return {name: [row[at] for row in rows] for at, name in enumerate(heading)}


def _refuse_twice(table: Path, heading: Sequence[str]) -> None:
    twice = sorted({name for name in heading if heading.count(name) > 1})
    if twice:
        raise SourceUnusable(f"{table} has the column {twice[0]!r} twice. Rename one of them.")


def _read_jsonl(table: Path) -> Columns:
    rows = []
    with table.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                rows.append(_json_object(table, number, line))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _json_object(table: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SourceUnusable(f"{table}, line {number}, is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise SourceUnusable(
            f'{table}, line {number}, is not a JSON object. A line reads {{"path": "a.jpg"}}.'
        )
    return row


def _read_parquet(table: Path) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_table(table)
        return {name: found.column(name).to_pylist() for name in found.column_names}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceUnusable(f"{table} is not a Parquet file: {error}.") from error
