"""The ledger: every row of a dataset, which content it had, and why where it had none."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from conf.dataset import DatasetRecipe
from conf.errors import WorldError
from conf.keys import ArtifactKey
from storage.steps import step

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LEDGER = "ledger.parquet"


class LedgerRow(NamedTuple):
    """A row of a dataset. What could not be found out is None."""

    uri: str
    sha256: str | None
    split: str
    label: int
    """-1: there is none."""
    label_name: str | None
    status: str
    """ "ok" or "failed"."""
    reason: str | None
    size_bytes: int | None
    width_px: int | None
    """Of the upright image; like the height, only where the row is ok."""
    height_px: int | None


@dataclass(frozen=True)
class Ledger:
    """The rows of a dataset, in order: a tuple a column. A row's id is its place, from 0 on."""

    uri: tuple[str, ...]
    sha256: tuple[str | None, ...]
    split: tuple[str, ...]
    label: tuple[int, ...]
    label_name: tuple[str | None, ...]
    status: tuple[str, ...]
    reason: tuple[str | None, ...]
    size_bytes: tuple[int | None, ...]
    width_px: tuple[int | None, ...]
    height_px: tuple[int | None, ...]
    skipped: tuple[str, ...] = field(default=(), compare=False)
    """What lay in the source and was no row. Told to the user, not kept."""

    @classmethod
    def of(cls, rows: list[LedgerRow], skipped: tuple[str, ...] = ()) -> "Ledger":
        """Return the ledger of `rows`."""
        columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(LedgerRow._fields)
        return cls(**dict(zip(LedgerRow._fields, columns, strict=True)), skipped=skipped)

    def __len__(self) -> int:
        return len(self.uri)

    def rows(self) -> Iterator[LedgerRow]:
        """Yield every row, in order."""
        return map(LedgerRow._make, zip(*self._columns().values(), strict=True))

    def row(self, row_id: int) -> LedgerRow:
        """Return one row."""
        return LedgerRow._make(column[row_id] for column in self._columns().values())

    @cached_property
    def rows_sha256(self) -> str:
        """The sha256, in hex, of what makes this dataset: the canonical JSON of its rows.

        A row is [uri, sha256, split, label, label_name, status, reason]. The reason is in it so
        that a published ledger gives the reasons of this very scan, not those of an earlier one.
        """
        rows = list(
            zip(
                self.uri,
                self.sha256,
                self.split,
                self.label,
                self.label_name,
                self.status,
                self.reason,
                strict=True,
            )
        )
        text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def recipe(self) -> DatasetRecipe:
        """The recipe of this very dataset."""
        return DatasetRecipe(rows_sha256=self.rows_sha256, rows=len(self))

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """The sha256s of all ok rows, each once, in the ledger's order."""
        pairs = zip(self.sha256, self.status, strict=True)
        return tuple(dict.fromkeys(sha for sha, status in pairs if sha and status == "ok"))

    @cached_property
    def content(self) -> ArtifactKey:
        """The key of the set of ok contents: names, order, labels and duplicates play no part."""
        return ArtifactKey.of("content", 1, sorted(self.contents))

    def summary(self) -> dict[str, int]:
        """Return how many rows are "ok", then how many failed for each reason's first words."""
        words = Counter((reason or "failed").partition(":")[0] for reason in self._failures())
        return {"ok": self.status.count("ok"), **dict(words.most_common())}

    def frame(self) -> "pd.DataFrame":
        """Return the ledger as a table, `row_id` first."""
        frame: pd.DataFrame = self._table().to_pandas()
        return frame

    def _failures(self) -> Iterator[str | None]:
        pairs = zip(self.reason, self.status, strict=True)
        return (reason for reason, status in pairs if status != "ok")

    def _columns(self) -> dict[str, tuple[Any, ...]]:
        return {name: getattr(self, name) for name in LedgerRow._fields}

    def _table(self) -> "pa.Table":
        import pyarrow as pa

        return pa.table({"row_id": range(len(self)), **self._columns()}, schema=_schema())


class LedgerDamaged(WorldError):
    """A ledger file is missing or is none."""


def write_ledger(ledger: Ledger, folder: Path) -> Path:
    """Write `ledger.parquet` into `folder` and return its path; docs/formats/dataset.md."""
    import pyarrow.parquet as pq

    path = folder / LEDGER
    with step("write", path):
        pq.write_table(ledger._table(), path, compression="zstd")
    return path


def read_ledger(folder: Path) -> Ledger:
    """Return the ledger that lies in `folder`, or in the one part below it.

    Raises LedgerDamaged when it is missing or is not a ledger.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = (folder / LEDGER, *sorted(folder.glob(f"parts/*/{LEDGER}")))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise LedgerDamaged(f"{folder} holds no {LEDGER}. Run the flow again to remake it.")
    try:
        # Not `read_table`: that one imports pyarrow.dataset and pandas, half a second.
        with pq.ParquetFile(path) as file:
            table = file.read().select(_schema().names).cast(_schema())
    except (pa.ArrowException, OSError, KeyError) as error:
        raise LedgerDamaged(
            f"{path} is not a ledger: {error}. `featuremill verify` quarantines it; run the flow "
            "again to remake it."
        ) from error
    return Ledger(*(tuple(table.column(name).to_pylist()) for name in LedgerRow._fields))


def _schema() -> "pa.Schema":
    import pyarrow as pa

    whole, text = pa.int64(), pa.string()
    kinds = {"label": whole, "size_bytes": whole, "width_px": whole, "height_px": whole}
    must = {"uri", "split", "label", "status"}
    columns = [pa.field(n, kinds.get(n, text), nullable=n not in must) for n in LedgerRow._fields]
    return pa.schema([pa.field("row_id", whole, nullable=False), *columns])


assert tuple(f.name for f in fields(Ledger))[:-1] == LedgerRow._fields
