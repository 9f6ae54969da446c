"""What rows are called: files, labels and splits, and whether anything proves their order."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.dataset import Ledger
from storage.projection.errors import BadVectors, OrderDiffers

Array = np.ndarray[Any, Any]

FILE, LABEL, WORD, LABEL_2 = (
    "file_name", "ground_truth_num_label", "ground_truth_word_label", "ground_truth_L2_num_label"
)  # fmt: skip
COLUMNS = (FILE, LABEL, WORD, LABEL_2)
"""The columns of metadata.csv, as the seed has them."""
_OF_ROWS = frozenset({*COLUMNS, "id", "name", "label"})
"""Columns that name rows and their labels; others are to colour by."""
_MOST_CLASSES = 20
"""So many different whole numbers of a column may be classes; more are measured."""


@dataclass(frozen=True, eq=False)
class RowNames:
    """What the rows of a map are called, in the order of the vectors."""

    ids: tuple[str, ...]
    """What a row is shown as: a file's name, or its number."""
    texts: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Columns of names, such as label and split; None is missing."""
    numbers: Mapping[str, Array] = field(default_factory=dict)
    """Columns of numbers (n,) float32; NaN is missing."""
    contents: tuple[str | None, ...] | None = None
    """The sha256 of each row's image, where it has one."""
    order_proven: bool = True
    notes: tuple[str, ...] = ()


def bare_names(count: int) -> RowNames:
    """Return names for rows of which nothing is known but their number."""
    return RowNames(tuple(f"row {number}" for number in range(count)))


def ledger_names(ids: Sequence[str], ledger: Ledger) -> RowNames:
    """Return what a dataset calls the contents `ids`, each by the first row that has it."""
    first: dict[str, int] = {}
    for row, sha256 in enumerate(ledger.sha256):
        if sha256:
            first.setdefault(sha256, row)
    rows = [first.get(content) for content in ids]

    def column(values: Sequence[Any]) -> list[Any]:
        return [None if row is None else values[row] for row in rows]

    words = [
        name if name is not None else (None if label in (None, -1) else str(label))
        for name, label in zip(column(ledger.label_name), column(ledger.label), strict=True)
    ]
    uris = [uri or content[:16] for uri, content in zip(column(ledger.uri), ids, strict=True)]
    return RowNames(
        tuple(uris),
        {"label": words, "split": column(ledger.split)},
        contents=tuple(ids),
    )


def read_table_names(path: Path, count: int, *, own: bool = False) -> RowNames:
    """Return the names in a CSV or Parquet table, one line a row of the vectors; with `own` it is
    the table that the vectors are in, and nothing else has to prove the order."""
    rows, columns = _table(path)
    if rows != count:
        raise OrderDiffers(
            f"{path} has {rows} rows, the vectors are {count}. They belong together row by row: "
            "give the table that was written with these vectors."
        )
    labels = label_column(columns)
    texts, numbers = coloured_by(columns)
    if labels:
        texts["label"] = labels
    note = f"{path.name}: nothing proves that its rows are in the order of the vectors."
    notes = () if own else (note,)
    return RowNames(_ids(rows, columns), texts, numbers, order_proven=own, notes=notes)


def coloured_by(
    columns: Mapping[str, Sequence[str]],
) -> tuple[dict[str, Sequence[str | None]], dict[str, Array]]:
    """Return the columns of a table that points can be coloured by: texts, and float32 numbers.

    Numbers are those with fractions or more than 20 different values, but for `split`; texts have
    at most 64 different values, or one for ten rows.
    """
    texts: dict[str, Sequence[str | None]] = {}
    numbers: dict[str, Array] = {}
    for name, values in columns.items():
        if name in _OF_ROWS:
            continue
        measured = None if name == "split" else _measured(values)
        if measured is not None:
            numbers[name] = measured
        elif len(set(values)) <= max(64, len(values) // 10):
            texts[name] = [value or None for value in values]
    return texts, numbers


def _measured(values: Sequence[str]) -> Array | None:
    """Return texts as float32 numbers, NaN for what is missing; None where they are none."""
    try:
        found = np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return None
    finite = found[np.isfinite(found)]
    whole = bool((finite == np.round(finite)).all())
    if not finite.size or (whole and len(np.unique(finite)) <= _MOST_CLASSES):
        return None
    with np.errstate(over="ignore"):
        numbers = found.astype(np.float32)
    return np.where(np.isfinite(numbers), numbers, np.float32(np.nan))


def read_table_ids(path: Path) -> tuple[str, ...]:
    """Return what a CSV or Parquet table calls its rows; nothing else of it is checked."""
    return _ids(*_table(path))


def _ids(rows: int, columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    named = next((columns[name] for name in (FILE, "id", "name") if name in columns), [""] * rows)
    return tuple(value or f"row {at}" for at, value in enumerate(named))


def label_column(columns: Mapping[str, Sequence[str]]) -> list[str | None] | None:
    """Return the label of each row, by the best column there is; None where there is none."""
    for name in (WORD, "label", LABEL):
        if name in columns and any(columns[name]):
            missing = {"", "-1"} if name == LABEL else {""}
            return [None if value in missing else value for value in columns[name]]
    return None


def _table(path: Path) -> tuple[int, dict[str, list[str]]]:
    if path.suffix == ".parquet":
        return _read_parquet(path)
    return read_csv(path)


def _read_parquet(path: Path) -> tuple[int, dict[str, list[str]]]:
    """Return the number of rows and, as texts, the columns that are neither nested nor bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = pa.types
    bytes_or_nested = (
        kinds.is_nested, kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary,
    )  # fmt: skip
    try:
        schema = pq.read_schema(path)
        plain = [one.name for one in schema if not any(is_(one.type) for is_ in bytes_or_nested)]
        table = pq.read_table(path, columns=plain)
    except pa.ArrowException as problem:
        raise BadVectors(f"{path} is not a Parquet file: {problem}.") from problem
    columns = {
        name: ["" if value is None else str(value) for value in table.column(name).to_pylist()]
        for name in plain
    }
    return pq.read_metadata(path).num_rows, columns


def read_csv(path: Path) -> tuple[int, dict[str, list[str]]]:
    """Return the number of rows and the columns, as texts, of a CSV file with a header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
    except (ValueError, csv.Error, UnicodeDecodeError) as problem:
        raise BadVectors(f"{path} is not a CSV file with a header: {problem}.") from problem
    rows = [row for row in rows if row]
    wrong = next((at for at, row in enumerate(rows) if len(row) != len(header)), None)
    if wrong is not None:
        raise BadVectors(
            f"{path}: row {wrong} has {len(rows[wrong])} cells, the header {len(header)}."
        )
    return len(rows), {name: [row[at] for row in rows] for at, name in enumerate(header)}
