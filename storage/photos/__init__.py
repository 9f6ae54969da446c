"""Photographs on disk: what they say of themselves, and their JPEGs at a standard size."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.photos import ExifRecipe, StandardRecipe
from storage.atomic import link_or_copy
from storage.kinds import Kind
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from PIL import Image

PHOTOS = "photos.parquet"
METHOD = "quality_preserved"


def exif_schema() -> "pa.Schema":
    """Return the columns of `photo-exif`."""
    import pyarrow as pa

    text = ("camera", "lens", "aperture", "shutter_speed", "focal_length", "datetime")
    return pa.schema(
        [
            pa.field("content_sha256", pa.string(), nullable=False),
            pa.field("format", pa.string()),
            *(pa.field(name, pa.string()) for name in text),
            pa.field("iso", pa.int64()),
            *(pa.field(name, pa.float64()) for name in ("latitude", "longitude", "altitude")),
            pa.field("owner", pa.string()),
            pa.field("orientation", pa.int16()),
        ]
    )


def standard_schema() -> "pa.Schema":
    """Return the columns of `photo-standard`."""
    import pyarrow as pa

    sizes = ("original_width_px", "original_height_px", "width_px", "height_px")
    return pa.schema(
        [
            pa.field("content_sha256", pa.string(), nullable=False),
            *(pa.field(name, pa.int32(), nullable=False) for name in sizes),
            pa.field("ranking", pa.string(), nullable=False),
            pa.field("standard", pa.string(), nullable=False),
            pa.field("processing_method", pa.string(), nullable=False),
        ]
    )


def write_rows(
    writer: PartWriter, rows: Sequence[dict[str, Any]], schema: "pa.Schema", name: str = PHOTOS
) -> None:
    """Write `rows` as the file `name` of a part."""
    import pyarrow as pa

    write_parquet(writer, pa.Table.from_pylist(list(rows), schema), name)


def write_parquet(writer: PartWriter, table: "pa.Table", name: str) -> None:
    """Write `table` as the file `name` of a part."""
    import pyarrow.parquet as pq

    path = writer.folder / name
    with step("write", path):
        pq.write_table(table, path)


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """Return the table in the file `path`, or some columns of it.

    `pyarrow.parquet.read_table` does the same for directories, too: it takes three times as long,
    and a quarter of a second to be imported.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns=columns and list(columns), use_threads=False)


def write_jpeg(path: Path, image: "Image.Image", quality: int) -> None:
    """Write `image` as a JPEG without any metadata, colours at full resolution."""
    out = BytesIO()
    image.info.clear()
    image.save(out, "JPEG", quality=quality, subsampling=0, optimize=False)
    write_bytes(path, out.getvalue())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of a part."""
    with step("write", path):
        path.write_bytes(data)


def copy_rows(source: Path, positions: Sequence[int], writer: PartWriter) -> None:
    """Write a part of some rows of the sealed part in `source`, by position."""
    table = read_parquet(source / PHOTOS).take(list(positions))
    for column in {"ranking", "standard"} & set(table.column_names):
        for name in table.column(column).to_pylist():
            if not (writer.folder / name).exists():
                link_or_copy(source / name, writer.folder / name)
    write_parquet(writer, table, PHOTOS)


def rows_by_content(store: ArtifactStore, artifact: Artifact) -> dict[str, dict[str, Any]]:
    """Return every row by its content's sha256; `folder` is where the files of the row lie."""
    return {
        row["content_sha256"]: row | {"folder": path.parent}
        for path in part_files(store.path_of(artifact), PHOTOS)
        for row in read_parquet(path).to_pylist()
    }


def part_files(folder: Path, name: str) -> list[Path]:
    """Return the files `name` of the parts of the artifact in `folder`, in the order of the parts.

    Raises FileNotFoundError where there is no artifact.
    """
    return [path / name for path in sorted((folder / "parts").iterdir()) if path.is_dir()]


def open_photos(store: ArtifactStore, artifact: Artifact) -> "pd.DataFrame":
    """Return the photos as a table; `folder` is where the files of a row lie."""
    import pandas as pd

    return pd.DataFrame(list(rows_by_content(store, artifact).values()))


KINDS = (
    Kind(name=ExifRecipe.kind, open=open_photos, part_rows=1024, copy_rows=copy_rows),
    Kind(name=StandardRecipe.kind, open=open_photos, part_rows=64, copy_rows=copy_rows),
)
