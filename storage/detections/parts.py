"""The parts of `detections`: what one pass of a model gave of some images.

A part holds `images.parquet` (one row an image), `predictions.parquet` (one row a detection),
`gap.safetensors` (mean features), one HDF5 file of feature maps a layer, `grids.safetensors` (masks
on the losses' grid, for models that have masks) and `model.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.atomic import json_bytes
from storage.hdf5 import read_rows, write_contiguous
from storage.parts import PartWriter
from storage.steps import step

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES, PREDICTIONS = "images.parquet", "predictions.parquet"
GAP, GRIDS, MODEL = "gap.safetensors", "grids.safetensors", "model.json"
LOSSES = ("box_loss", "cls_loss", "dfl_loss", "seg_loss", "l1_loss", "sem_loss")
METRICS = ("mean_iou", "mean_conf", "hit_freq", "dice_score")
FLAGS = ("flag_cat", "flag_supercat")
_BOX = ("box_x1", "box_y1", "box_x2", "box_y2")
_SQUARE = ("square_x1", "square_y1", "square_x2", "square_y2")

Array = NDArray[Any]


@dataclass(frozen=True)
class ModelCard:
    """What the model of a part is, as far as its numbers cannot be read without."""

    names: tuple[str, ...]
    """The classes; a detection's class id is a place in here."""
    head: str
    """ "v8", "11" or "26"."""
    task: str
    """ "detect" or "segment"."""
    components: tuple[str, ...]
    """The losses that the head has, such as "box", "cls", "dfl", "seg"."""
    layers: tuple[int, ...]
    """Places in the model of bottleneck_layer_1 and on."""
    fingerprint: str
    """sha256, in hex, of the weights as they lay in memory."""

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """Return the card of the part in `folder`."""
        read: dict[str, Any] = json.loads((folder / MODEL).read_bytes())
        read |= {name: tuple(read[name]) for name in ("names", "components", "layers")}
        return cls(**read)


@dataclass(frozen=True, eq=False)
class Found:
    """What is stored of one image, all but its features."""

    content: str
    image: Mapping[str, Any]
    """The columns of `images.parquet`, by name."""
    boxes_px: NDArray[np.float32]
    """(n, 4) in pixels of the upright image, inside it."""
    square_px: NDArray[np.float32]
    """(n, 4) in pixels of the square."""
    confidence: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    masks: Sequence[NDArray[np.int64] | None]
    """n run lengths at the size of the image; None of a model without masks."""
    grids: NDArray[np.uint8] | None
    """(n, bytes): masks on the grid of the square, `packed`."""


def layer_names(count: int) -> tuple[str, ...]:
    """Return what the kept layers are called: bottleneck_layer_1 and on."""
    return tuple(f"bottleneck_layer_{number}" for number in range(1, count + 1))


def images_schema() -> "pa.Schema":
    """Return the columns of `images.parquet`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("content_sha256", pa.string(), nullable=False),
            pa.field("height_px", pa.int32(), nullable=False),
            pa.field("width_px", pa.int32(), nullable=False),
            pa.field("ratio", pa.float64(), nullable=False),
            pa.field("left_px", pa.int32(), nullable=False),
            pa.field("top_px", pa.int32(), nullable=False),
            pa.field("detections", pa.int32(), nullable=False),
            pa.field("objects", pa.int32()),
            *(pa.field(name, pa.float64()) for name in (*LOSSES, *METRICS)),
            pa.field("category_distribution", pa.string(), nullable=False),
            *(pa.field(name, pa.int64()) for name in FLAGS),
            *(pa.field(f"{name}_name", pa.string()) for name in FLAGS),
            pa.field("reason", pa.string()),
        ]
    )


def predictions_schema() -> "pa.Schema":
    """Return the columns of `predictions.parquet`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("content_sha256", pa.string(), nullable=False),
            pa.field("rank", pa.int32(), nullable=False),
            *(pa.field(name, pa.float32(), nullable=False) for name in _BOX),
            pa.field("confidence", pa.float32(), nullable=False),
            pa.field("class_id", pa.int64(), nullable=False),
            *(pa.field(name, pa.float32(), nullable=False) for name in _SQUARE),
            pa.field("mask_counts", pa.list_(pa.int32())),
        ]
    )


def write_part(
    writer: PartWriter,
    card: ModelCard,
    rows: Sequence[Found],
    gap: Sequence[NDArray[np.float32]],
    maps: Sequence[NDArray[np.float16]],
) -> None:
    """Write a part: `rows`, and of each layer the means (n, C) and the maps (n, h, w, C)."""
    import pyarrow as pa

    images = [{"content_sha256": row.content, **row.image} for row in rows]
    _write_table(writer, pa.Table.from_pylist(images, images_schema()), IMAGES)
    _write_table(writer, _predictions(rows), PREDICTIONS)
    names = layer_names(len(gap))
    _write_arrays(writer, dict(zip(names, gap, strict=True)), GAP)
    if card.task == "segment":
        grids = [row.grids for row in rows if row.grids is not None]
        _write_arrays(writer, {"grids": np.concatenate(grids)}, GRIDS)
    for name, values in zip(names, maps, strict=True):
        writer.add(f"{name}.h5", write_contiguous(writer.folder / f"{name}.h5", name, values))
    with step("write", writer.folder / MODEL):
        (writer.folder / MODEL).write_bytes(json_bytes(asdict(card)))


def _predictions(rows: Sequence[Found]) -> "pa.Table":
    import pyarrow as pa

    counts = [len(row.class_ids) for row in rows]
    columns: dict[str, Any] = {
        "content_sha256": np.repeat(np.array([row.content for row in rows], object), counts),
        "rank": np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
        "confidence": np.concatenate([row.confidence for row in rows]),
        "class_id": np.concatenate([row.class_ids for row in rows]),
        "mask_counts": [mask for row in rows for mask in row.masks],
    }
    for names, boxes in (
        (_BOX, [r.boxes_px for r in rows]),
        (_SQUARE, [r.square_px for r in rows]),
    ):
        columns |= dict(zip(names, np.concatenate(boxes).T, strict=True))
    schema = predictions_schema()
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def packed(grids: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return grids (n, side, side) as (n, side * side bits), eight cells a byte, lowest bit
    first."""
    return np.packbits(
        grids.reshape(len(grids), grids.shape[1] * grids.shape[2]), axis=1, bitorder="little"
    )


def unpacked(grids: NDArray[np.uint8], side: int) -> NDArray[np.bool_]:
    """Return grids bool (n, side, side) of packed ones."""
    bits = np.unpackbits(grids, axis=1, count=side * side, bitorder="little")
    return bits.reshape(-1, side, side).view(np.bool_)


def _write_table(writer: PartWriter, table: "pa.Table", name: str) -> None:
    import pyarrow.parquet as pq

    path = writer.folder / name
    with step("write", path):
        pq.write_table(table, path)


def _write_arrays(writer: PartWriter, arrays: Mapping[str, Array], name: str) -> None:
    from safetensors.numpy import save

    path = writer.folder / name
    content = save({key: np.ascontiguousarray(values) for key, values in arrays.items()})
    with step("write", path):
        path.write_bytes(content)


def read_table(folder: Path, name: str) -> "pa.Table":
    """Return a table of the part in `folder`."""
    import pyarrow.parquet as pq

    return pq.read_table(folder / name)


def read_arrays(folder: Path, name: str) -> dict[str, Array]:
    """Return the arrays of a safetensors file of the part in `folder`."""
    from safetensors.numpy import load_file

    return dict(load_file(folder / name))


def copy_rows(source: Path, positions: Sequence[int], writer: PartWriter) -> None:
    """Write a part of some rows of the sealed part in `source`, by position."""
    import pyarrow as pa

    images = read_table(source, IMAGES)
    predictions = read_table(source, PREDICTIONS)
    _write_table(writer, images.take(list(positions)), IMAGES)
    ends = np.cumsum(images["detections"].to_numpy())
    spans = [np.arange(ends[p] - images["detections"][p].as_py(), ends[p]) for p in positions]
    rows = np.concatenate([np.empty(0, np.int64), *spans]).astype(np.int64)
    _write_table(writer, predictions.take(pa.array(rows)), PREDICTIONS)
    gap = read_arrays(source, GAP)
    _write_arrays(writer, {name: means[list(positions)] for name, means in gap.items()}, GAP)
    if (source / GRIDS).exists():
        _write_arrays(writer, {"grids": read_arrays(source, GRIDS)["grids"][rows]}, GRIDS)
    for name in gap:
        maps = read_rows(source / f"{name}.h5", name, positions)
        writer.add(f"{name}.h5", write_contiguous(writer.folder / f"{name}.h5", name, maps))
    with step("write", writer.folder / MODEL):
        (writer.folder / MODEL).write_bytes((source / MODEL).read_bytes())


def row_of(content: str, truth: str | None) -> str:
    """Return the id of a row: an image, and the digest of what is known to be in it.

    Losses and metrics depend on both, so that another truth is another row.
    """
    return f"{content}-{truth or 'unknown'}"


def content_of(row: str) -> str:
    """Return the image of a row id."""
    return row.partition("-")[0]
