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


def read_table_names(path: Path, count: int) -> RowNames:
    """Return the names in a CSV or Parquet table, one line a row of the vectors."""
    rows, columns = _table(path)
    if rows != count:
        raise OrderDiffers(
            f"{path} has {rows} rows, the vectors are {count}. They belong together row by row: "
            "give the table that was written with these vectors."
        )
    labels = label_column(columns)
    texts: dict[str, Sequence[str | None]] = {
        name: values
        for name, values in columns.items()
        if name not in {*COLUMNS, "id", "name", "label"}
        and len(set(values)) <= max(64, count // 10)
    }
    if labels:
        texts["label"] = labels
    return RowNames(
        _ids(rows, columns),
        texts,
        order_proven=False,
        notes=(f"{path.name}: nothing proves that its rows are in the order of the vectors.",),
    )


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
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        columns = {
            name: ["" if value is None else str(value) for value in table.column(name).to_pylist()]
            for name in table.column_names
            if not str(table.schema.field(name).type).startswith(("list", "large_list", "fixed"))
        }
        return table.num_rows, columns
    return read_csv(path)


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
