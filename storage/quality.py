"""Technical quality on disk: Parquet parts, one line an image content."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.quality import BrisqueRecipe, ClipIqaRecipe, NoiseRecipe, PiqClipIqaRecipe, QualityRecipe
from storage.kinds import Kind
from storage.parts import PartWriter
from storage.photos import part_files, read_parquet, write_parquet
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCORES, THUMBNAILS = "scores.parquet", "thumbnails.parquet"
CHANNELS, LEVELS = ("red", "green", "blue"), ("p1", "p5", "p50", "p95", "p99")
CLIPPED = ("clipped_low", "clipped_high")
TECHNICAL = (
    "sharpness", "log10_energy", "log10_tile_p95", "exposure", "noise", "sigma_preview",
)  # fmt: skip
"""Columns of float64; null where a value could not be computed."""


def quality_schema() -> "pa.Schema":
    """Return the columns of `photo-quality`."""
    import pyarrow as pa

    per_channel = [f"{channel}_{what}" for channel in CHANNELS for what in LEVELS + CLIPPED]
    return pa.schema(
        [
            pa.field("content_sha256", pa.string(), nullable=False),
            *(pa.field(name, pa.float64()) for name in (*TECHNICAL, *per_channel)),
            pa.field("natural", pa.list_(pa.float64())),
            pa.field("reason", pa.string()),
        ]
    )


def score_schema(*names: str) -> "pa.Schema":
    """Return the columns of a score: the content, float64 columns `names`, and `reason`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("content_sha256", pa.string(), nullable=False),
            *(pa.field(name, pa.float64()) for name in names),
            pa.field("reason", pa.string()),
        ]
    )


def write_thumbnails(writer: PartWriter, contents: Sequence[str], jpegs: Sequence[bytes]) -> None:
    """Write the small JPEG of each content."""
    import pyarrow as pa

    table = pa.table({"content_sha256": list(contents), "jpeg": pa.array(list(jpegs), pa.binary())})
    write_parquet(writer, table, THUMBNAILS)


def copy_rows(source: Path, positions: Sequence[int], writer: PartWriter) -> None:
    """Write a part of some rows of the sealed part in `source`, by position."""
    for path in sorted(source.glob("*.parquet")):
        write_parquet(writer, read_parquet(path).take(list(positions)), path.name)


def read_scores(
    store: ArtifactStore,
    artifact: Artifact,
    name: str = SCORES,
    columns: Sequence[str] | None = None,
) -> "pa.Table":
    """Return all parts of `artifact` as one table, in the order of its parts; of its columns those
    that are asked for."""
    import pyarrow as pa

    paths = part_files(store.path_of(artifact), name)
    tables = [read_parquet(path, columns) for path in paths]
    return pa.concat_tables(tables) if tables else score_schema().empty_table()


def rows_by_content(
    store: ArtifactStore,
    artifact: Artifact,
    name: str = SCORES,
    columns: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return every row of `artifact`, or the `columns` of it, by its content's sha256."""
    wanted = columns and ("content_sha256", *columns)
    rows = read_scores(store, artifact, name, wanted).to_pylist()
    return {row.pop("content_sha256"): row for row in rows}


def open_scores(store: ArtifactStore, artifact: Artifact) -> "pd.DataFrame":
    """Return the scores as a table, one row an image content."""
    frame: pd.DataFrame = read_scores(store, artifact).to_pandas()
    return frame


KINDS = (
    Kind(name=QualityRecipe.kind, open=open_scores, part_rows=64, copy_rows=copy_rows),
    Kind(name=NoiseRecipe.kind, open=open_scores, part_rows=256, copy_rows=copy_rows),
    Kind(name=BrisqueRecipe.kind, open=open_scores, part_rows=1 << 16),
    Kind(name=ClipIqaRecipe.kind, open=open_scores, part_rows=1 << 16),
    Kind(name=PiqClipIqaRecipe.kind, open=open_scores, part_rows=64, copy_rows=copy_rows),
)
