"""Ground truth on disk: the Parquet tables classes, objects, images and faults of one part."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.annotations import AnnotationRecipe
from storage.annotations.rle import Rle
from storage.annotations.truth import Annotations, Fault, Truth
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("classes", "objects", "images", "faults")


def recipe_of(known: Annotations) -> AnnotationRecipe:
    """Return the recipe of these very annotations."""
    return AnnotationRecipe(rows_sha256=rows_sha256(known), images=len(known))


def rows_sha256(known: Annotations) -> str:
    """Return the sha256, in hex, of what is known: a line of JSON for the classes, for every image
    by its sha256, and for every fault."""
    digest = hashlib.sha256()
    for line in _lines(known):
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _lines(known: Annotations) -> Iterator[Any]:
    yield known.names, known.superclasses
    for sha256 in known.contents:
        truth = known.of(sha256)
        assert truth is not None
        masks = [mask and (mask["size"], mask["counts"]) for mask in truth.masks]
        yield sha256, truth.boxes_px.tolist(), truth.class_ids.tolist(), masks
    yield from sorted(map(list, known.faults()), key=str)


def write_annotations(writer: PartWriter, known: Annotations) -> None:
    """Write the tables of `known` as the files of a part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    above = known.superclasses or (None,) * len(known.names)
    rows: dict[str, list[Any]] = {
        "classes": [
            {"class_id": at, "name": name, "superclass": above[at]}
            for at, name in enumerate(known.names)
        ],
        "objects": [row for sha256 in known.contents for row in _objects(known, sha256)],
        "images": [
            {"content_sha256": sha256, "objects": len(known.of(sha256) or ())}
            for sha256 in known.contents
        ],
        "faults": [fault._asdict() for fault in sorted(known.faults(), key=str)],
    }
    for name in TABLES:
        path = writer.folder / f"{name}.parquet"
        with step("write", path):
            table = pa.Table.from_pylist(rows[name], _schema(name))
            pq.write_table(table, path, compression="zstd")


def _objects(known: Annotations, sha256: str) -> Iterator[dict[str, Any]]:
    truth = known.of(sha256)
    assert truth is not None
    for at, mask in enumerate(truth.masks):
        x1, y1, x2, y2 = truth.boxes_px[at].tolist()
        height, width = mask["size"] if mask else (None, None)
        yield {
            "content_sha256": sha256,
            "object": at,
            "class_id": int(truth.class_ids[at]),
            "x1": x1, "y1": y1, "x2": x2, "y2": y2,
            "mask_height_px": height,
            "mask_width_px": width,
            "mask_counts": mask["counts"] if mask else None,
        }  # fmt: skip


def _schema(name: str) -> "pa.Schema":
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int32(), pa.float32()
    columns: dict[str, list[tuple[str, pa.DataType, bool]]] = {
        "classes": [("class_id", whole, False), ("name", text, False), ("superclass", text, True)],
        "objects": [
            ("content_sha256", text, False),
            ("object", whole, False),
            ("class_id", whole, False),
            *((edge, real, False) for edge in ("x1", "y1", "x2", "y2")),
            ("mask_height_px", whole, True),
            ("mask_width_px", whole, True),
            ("mask_counts", pa.list_(whole), True),
        ],
        "images": [("content_sha256", text, False), ("objects", whole, False)],
        "faults": [
            ("file", text, False),
            ("line", pa.int64(), True),
            ("action", text, False),
            ("reason", text, False),
        ],
    }
    return pa.schema([pa.field(n, kind, nullable=nullable) for n, kind, nullable in columns[name]])


def open_annotations(store: ArtifactStore, artifact: Artifact) -> Annotations:
    """Return the annotations of an artifact; an image's objects are made when they are asked
    for."""
    (marker,) = store.markers(artifact)
    return read_annotations(store.path_of(artifact) / "parts" / marker.part)


def read_annotations(folder: Path) -> Annotations:
    """Return the annotations whose tables lie in `folder`."""
    import pyarrow.parquet as pq

    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}
    classes = tables["classes"].to_pydict()
    superclasses = None if None in classes["superclass"] else classes["superclass"]
    faults = [Fault(**row) for row in tables["faults"].to_pylist()]
    truths = _Truths(tables["images"], tables["objects"])
    return Annotations(classes["name"], truths, faults, superclasses or None)


class _Truths(Mapping[str, Truth]):
    """What the tables say of each image, read from them as it is asked for."""

    def __init__(self, images: "pa.Table", objects: "pa.Table") -> None:
        counts = images.column("objects").to_numpy()
        ends = np.cumsum(counts)
        contents = images.column("content_sha256").to_pylist()
        self._spans = dict(zip(contents, zip(ends - counts, ends, strict=True), strict=True))
        self._objects = objects

    def __getitem__(self, sha256: str) -> Truth:
        start, end = self._spans[sha256]
        rows = self._objects.slice(start, end - start)
        edges = [rows.column(edge).to_numpy() for edge in ("x1", "y1", "x2", "y2")]
        counts = rows.column("mask_counts").to_pylist()
        heights = rows.column("mask_height_px").to_pylist()
        widths = rows.column("mask_width_px").to_pylist()
        return Truth(
            np.stack(edges, axis=1).astype(np.float32),
            rows.column("class_id").to_numpy().astype(np.int64),
            tuple(
                None if runs is None else Rle(size=[height, width], counts=runs)
                for runs, height, width in zip(counts, heights, widths, strict=True)
            ),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)
