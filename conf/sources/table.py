"""Images listed in a table, with labels and splits."""

from pathlib import Path
from typing import Literal

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """One row for every row of a CSV, JSONL or Parquet file, in its order.

    Columns that are named here must be there; of the ones that are not named, `label` and `split`
    may be missing.
    """

    source: Literal["table"] = "table"
    path: Path
    """The table: "data/photos.csv", .jsonl or .parquet. It is never part of a key."""
    path_column: str = "path"
    """The column of paths, relative to the table's folder."""
    label_column: str | None = "label"
    """The column of labels, whole numbers or text; None takes no labels."""
    split_column: str | None = "split"
    """The column of splits; None leaves every row "unspecified"."""
