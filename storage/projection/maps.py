"""Maps on disk: components, graphs, coordinates, trust and pages, each an artifact of one part."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.atomic import json_bytes
from storage.errors import DamagedArtifact
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

FACTS, ROWS, COORDS, PAGE, POINTS = (
    "facts.json", "rows.parquet", "coords.npy", "page.html", "points.parquet"
)  # fmt: skip


def write_arrays(writer: PartWriter, **arrays: Array) -> None:
    """Write each of `arrays` as `<name>.npy`."""
    for name, array in arrays.items():
        path = writer.folder / f"{name}.npy"
        with step("write", path):
            np.save(path, array, allow_pickle=False)


def write_facts(writer: PartWriter, facts: Mapping[str, Any]) -> None:
    """Write `facts.json`: what is not an array."""
    path = writer.folder / FACTS
    with step("write", path):
        path.write_bytes(json_bytes(dict(facts)))


def write_rows(
    writer: PartWriter,
    ids: Sequence[str] | None,
    digests: Sequence[str],
    reasons: Sequence[str | None],
    **more: Array,
) -> None:
    """Write `rows.parquet`: what each row is, whether it is mapped, and why not."""
    import pyarrow as pa

    count = len(digests)
    status = ["ok" if reason is None else "failed" for reason in reasons]
    columns = {
        "row": pa.array(np.arange(count, dtype=np.int64)),
        "id": pa.array(list(ids) if ids else [None] * count, pa.string()),
        "digest": pa.array(list(digests), pa.string()),
        "status": pa.array(status, pa.string()),
        "reason": pa.array(list(reasons), pa.string()),
    }
    _write_table(writer, ROWS, columns | {name: pa.array(values) for name, values in more.items()})


def write_points(writer: PartWriter, points: int, rows: Array, **columns: Array) -> None:
    """Write `points.parquet`: a line a row, null where `rows` does not name it.

    `columns` are float32, a value for each of `rows`.
    """
    import pyarrow as pa

    told: dict[str, Any] = {"row": pa.array(np.arange(points, dtype=np.int64))}
    for name, values in columns.items():
        full = np.full(points, np.nan, np.float32)
        full[rows] = values
        told[name] = pa.array(full, mask=np.isnan(full))
    _write_table(writer, POINTS, told)


def _write_table(writer: PartWriter, name: str, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = writer.folder / name
    with step("write", path):
        pq.write_table(pa.table(dict(columns)), path)


def write_text(writer: PartWriter, name: str, text: str) -> None:
    """Write a text file of the part."""
    path = writer.folder / name
    with step("write", path):
        path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class MapFiles:
    """The files of one artifact of a map: arrays are mapped from the disk, not read."""

    store: ArtifactStore
    artifact: Artifact

    @cached_property
    def folder(self) -> Path:
        """The directory of its one part."""
        (marker,) = self.store.markers(self.artifact)
        return self.store.path_of(self.artifact) / "parts" / marker.part

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is not an array, such as notes."""
        found: dict[str, Any] = json.loads((self.folder / FACTS).read_bytes())
        return found

    @cached_property
    def rows(self) -> "pd.DataFrame":
        """The rows, in order: row, id, digest, status, reason."""
        return self.table(ROWS)

    @cached_property
    def usable(self) -> Array:
        """The numbers (n,) int64 of the rows that are mapped."""
        return np.flatnonzero((self.rows["status"] == "ok").to_numpy())

    @cached_property
    def coords(self) -> Array:
        """The coordinates (rows, 2) float32; NaN for rows that failed."""
        return self.array("coords")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the map must know."""
        return tuple(self.facts.get("notes", ()))

    def has(self, name: str) -> bool:
        """Whether there is an array of that name."""
        return (self.folder / f"{name}.npy").is_file()

    def array(self, name: str) -> Array:
        """Return the array `name`, mapped from the disk."""
        path = self.folder / f"{name}.npy"
        try:
            found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError) as problem:
            raise DamagedArtifact(
                f"{self.artifact.key}: {path.name} cannot be read ({problem}). `featuremill "
                "verify` quarantines it; run the flow again to remake it."
            ) from problem
        return found

    def table(self, name: str) -> "pd.DataFrame":
        """Return one of its Parquet files."""
        import pandas as pd

        return pd.read_parquet(self.folder / name)

    def inputs(self) -> dict[str, str]:
        """Return the keys of what it was made of."""
        return dict(self.store.manifest(self.artifact.key).inputs)


def open_page(store: ArtifactStore, artifact: Artifact) -> Path:
    """Return the path of the page, one HTML file."""
    return MapFiles(store, artifact).folder / PAGE
