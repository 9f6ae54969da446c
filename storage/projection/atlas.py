"""A map as one Parquet file that Apple's embedding-atlas opens, and any other reader of tables.

`embedding-atlas map.parquet --x projection_x --y projection_y --neighbors neighbors --text text
--image image`
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.atomic import write_file
from storage.parts import PartWriter
from storage.projection.maps import PAGE, MapFiles
from storage.steps import step
from storage.store import Artifact, ArtifactStore

Array = np.ndarray[Any, Any]

ATLAS = "atlas.parquet"
_TAKEN = frozenset({"row", "text", "projection_x", "projection_y", "neighbors", "image"})


def write_atlas(
    writer: PartWriter,
    ids: Sequence[str],
    coords: Array,
    columns: Mapping[str, Sequence[Any] | Array],
    *,
    neighbours: Array | None = None,
    distances: Array | None = None,
    images: Sequence[bytes | None] | None = None,
) -> None:
    """Write `atlas.parquet`: a line a row, also for those without a place.

    `coords` are (rows, 2), NaN without a place; `neighbours` (rows, k) with -1 for none, and
    `distances` alike; `columns` hold a text or a number a row; `images` are JPEG.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    told: dict[str, Any] = {
        "row": pa.array(np.arange(len(ids), dtype=np.int64)),
        "text": pa.array([_plain(name) for name in ids], pa.string()),
        "projection_x": _numbers(coords[:, 0]),
        "projection_y": _numbers(coords[:, 1]),
    }
    for name, values in columns.items():
        free = _plain(name)
        while free in _TAKEN or free in told:
            free += "_"
        told[free] = _numbers(values) if isinstance(values, np.ndarray) else _texts(values)
    if neighbours is not None and distances is not None:
        told["neighbors"] = _nearest(neighbours, distances)
    if images is not None:
        told["image"] = pa.array(
            [image and {"bytes": image, "path": None} for image in images],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
    path = writer.folder / ATLAS
    with step("write", path):
        pq.write_table(pa.table(told), path, compression="zstd")


def _plain(text: str) -> str:
    """Return `text` as UTF-8 can say it: a file's name may hold bytes that are none."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _texts(values: Sequence[Any]) -> Any:
    import pyarrow as pa

    return pa.array([None if v is None else _plain(str(v)) for v in values], pa.string())


def _numbers(values: Array) -> Any:
    import pyarrow as pa

    return pa.array(np.asarray(values, np.float32), from_pandas=True)


def _nearest(neighbours: Array, distances: Array) -> Any:
    """Return {ids, distances} of each row: zero-based rows, nearest first; null without any."""
    import pyarrow as pa

    known = neighbours >= 0
    starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int32)
    lists = [
        pa.ListArray.from_arrays(pa.array(starts), pa.array(values[known].astype(dtype)))
        for values, dtype in ((neighbours, np.int64), (distances, np.float32))
    ]
    missing = pa.array(~known.any(axis=1))
    return pa.StructArray.from_arrays(lists, names=["ids", "distances"], mask=missing)


def export_page(store: ArtifactStore, artifact: Artifact, path: Path) -> None:
    """Write a map's page to `path`, or its table where `path` ends in .parquet; whole or not at
    all."""
    name = ATLAS if path.suffix == ".parquet" else PAGE
    write_file(path, (MapFiles(store, artifact).folder / name).read_bytes())
