"""embeddings.db: the tables of the seed over the parts of one run, and of features without
detections."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from storage.detections import parts
from storage.detections.parts import FLAGS, LOSSES, METRICS, ModelCard, layer_names
from storage.detections.schema import (
    SHARED,
    RunRow,
    insert,
    insert_images,
    insert_run,
    new_database,
)
from storage.errors import IncompleteArtifact

if TYPE_CHECKING:
    from storage.drafts import Draft

DATABASE = "embeddings.db"

EMBEDDINGS = """
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs,
    img_id INTEGER NOT NULL REFERENCES images,
    embedding BLOB NOT NULL,
    hit_freq REAL,
    mean_iou REAL,
    mean_conf REAL,
    dice_score REAL,
    box_loss REAL,
    cls_loss REAL,
    dfl_loss REAL,
    seg_loss REAL,
    l1_loss REAL,
    sem_loss REAL,
    category_distribution TEXT,
    flag_cat INTEGER,
    flag_supercat INTEGER,
    reason TEXT,
    UNIQUE (run_id, img_id)
) STRICT
"""
FEATURES = """
CREATE TABLE features (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs,
    img_id INTEGER NOT NULL REFERENCES images,
    gap_features BLOB NOT NULL,
    bottleneck_features BLOB,
    created_ts INTEGER NOT NULL,
    UNIQUE (run_id, img_id)
) STRICT
"""
PREDICTIONS = """
CREATE TABLE predictions (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs,
    img_id INTEGER NOT NULL REFERENCES images,
    box_x1 REAL NOT NULL,
    box_y1 REAL NOT NULL,
    box_x2 REAL NOT NULL,
    box_y2 REAL NOT NULL,
    confidence REAL NOT NULL,
    class_id INTEGER NOT NULL,
    class_name TEXT NOT NULL,
    mask BLOB,
    created_ts INTEGER NOT NULL
) STRICT
"""
CLASSES = """
CREATE TABLE classes (
    run_id INTEGER NOT NULL REFERENCES runs,
    scheme TEXT NOT NULL CHECK (scheme IN ('model', 'truth', 'super')),
    class_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (run_id, scheme, class_id)
) STRICT, WITHOUT ROWID
"""
METADATA = """
CREATE TABLE metadata (
    run_id INTEGER NOT NULL REFERENCES runs,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID
"""
PREDICTIONS_OF_IMAGE = "CREATE INDEX predictions_of_image ON predictions (run_id, img_id)"
TABLES = (
    *SHARED, EMBEDDINGS, FEATURES, PREDICTIONS, CLASSES, METADATA, PREDICTIONS_OF_IMAGE,
)  # fmt: skip
COUNTED = ("embeddings", "features", "predictions")
"""Tables whose rows `metadata` counts, beside the images."""

Row = dict[str, Any]


def finish(draft: "Draft") -> None:
    """Make embeddings.db of the sealed parts; refuse parts that different models made."""
    folders = [draft.parts / name for name in draft.part_rows]
    recipe, created_ts = draft.plan["recipe"], int(draft.plan["began"])
    card = one_card(draft, folders)
    run = RunRow(
        str(draft.key), recipe, created_ts, card.head if card else None, card.task if card else None
    )
    with new_database(draft.path / DATABASE, TABLES) as opened:
        run_id = insert_run(opened, run)
        images = [parts.read_table(folder, parts.IMAGES).to_pylist() for folder in folders]
        ids = insert_images(opened, _sizes_px(images))
        for folder, rows in zip(folders, images, strict=True):
            blobs = recipe["bottleneck_blob"]
            _insert_part(opened, folder, rows, run_id, ids, created_ts, blobs=blobs)
        if card:
            _insert_names(opened, run_id, "model", dict(enumerate(card.names)))
        _insert_flags(opened, images, run_id)
        insert_counts(opened, run_id)


def one_card(draft: "Draft", folders: Sequence[Path]) -> ModelCard | None:
    """Return what all parts say of their model, None of no parts; raises IncompleteArtifact."""
    cards = {ModelCard.read(folder) for folder in folders}
    if len(cards) > 1:
        prints = ", ".join(sorted(card.fingerprint[:12] for card in cards))
        raise IncompleteArtifact(
            f"The parts of {draft.key} were made by {len(cards)} different models, though one "
            f"recipe names them (fingerprints {prints}): random weights of two torch versions do "
            f"that. Remove {draft.path} and run again."
        )
    return next(iter(cards), None)


def _sizes_px(images: Sequence[Sequence[Row]]) -> dict[str, tuple[int | None, int | None]]:
    return {
        row["content_sha256"]: (row["height_px"], row["width_px"])
        for rows in images
        for row in rows
    }


def _insert_part(
    opened: sqlite3.Connection,
    folder: Path,
    images: Sequence[Row],
    run_id: int,
    ids: Mapping[str, int],
    created_ts: int,
    *,
    blobs: bool,
) -> None:
    gap = parts.read_arrays(folder, parts.GAP)
    names = layer_names(len(gap))
    of = {row["content_sha256"]: {"run_id": run_id, "img_id": ids[row["content_sha256"]]}
          for row in images}  # fmt: skip
    kept = (*METRICS, *LOSSES, "category_distribution", *FLAGS, "reason")
    insert(
        opened,
        "embeddings",
        [
            of[row["content_sha256"]]
            | {"embedding": array_blob({"embedding": gap[names[-1]][place]})}
            | {name: row[name] for name in kept}
            for place, row in enumerate(images)
        ],
    )
    maps = _maps(folder, names, len(images)) if blobs else (None for _ in images)
    insert(
        opened,
        "features",
        (
            of[row["content_sha256"]]
            | {"gap_features": array_blob({name: gap[name][place : place + 1] for name in names})}
            | {"bottleneck_features": blob, "created_ts": created_ts}
            for (place, row), blob in zip(enumerate(images), maps, strict=True)
        ),
    )
    sizes = {row["content_sha256"]: [row["height_px"], row["width_px"]] for row in images}
    insert(opened, "predictions", _predictions(folder, of, sizes, created_ts))


def _maps(folder: Path, names: Sequence[str], count: int) -> Iterator[bytes]:
    files = [h5py.File(folder / f"{name}.h5", "r") for name in names]
    try:
        for place in range(count):
            each = zip(names, files, strict=True)
            yield array_blob({name: file[name][place : place + 1] for name, file in each})
    finally:
        for file in files:
            file.close()


def _predictions(
    folder: Path, of: Mapping[str, Row], sizes_px: Mapping[str, list[int]], created_ts: int
) -> Iterator[Row]:
    names = ModelCard.read(folder).names
    copied = ("box_x1", "box_y1", "box_x2", "box_y2", "confidence", "class_id")
    for row in parts.read_table(folder, parts.PREDICTIONS).to_pylist():
        content, counts = row["content_sha256"], row["mask_counts"]
        mask = None if counts is None else rle_blob(sizes_px[content], counts)
        yield (
            of[content]
            | {name: row[name] for name in copied}
            | {
                "class_name": names[row["class_id"]],
                "mask": mask,
                "created_ts": created_ts,
            }
        )


def rle_blob(size_px: Sequence[int], counts: Sequence[int]) -> bytes:
    """Return a mask as COCO's JSON: {"size": [height, width], "counts": [...]}."""
    return json.dumps({"size": list(size_px), "counts": list(counts)}).encode()


def array_blob(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as the bytes of a safetensors file."""
    from safetensors.numpy import save

    blob: bytes = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    return blob


def _insert_names(
    opened: sqlite3.Connection, run_id: int, scheme: str, names: Mapping[int, str]
) -> None:
    rows = [{"run_id": run_id, "scheme": scheme, "class_id": number, "name": names[number]}
            for number in sorted(names)]  # fmt: skip
    insert(opened, "classes", rows)


def _insert_flags(opened: sqlite3.Connection, images: Sequence[Sequence[Row]], run_id: int) -> None:
    """Name the classes that flag_cat and flag_supercat hold."""
    for flag, scheme in zip(FLAGS, ("truth", "super"), strict=True):
        found: dict[int, str] = {
            row[flag]: row[f"{flag}_name"]
            for rows in images
            for row in rows
            if row[flag] is not None
        }
        _insert_names(opened, run_id, scheme, found)


def insert_counts(opened: sqlite3.Connection, run_id: int) -> None:
    """Write into `metadata` how many rows a run has in each table."""
    for table in COUNTED:
        opened.execute(
            f"INSERT INTO metadata SELECT ?, '{table}', count(*) FROM {table} WHERE run_id = ?",
            (run_id, run_id),
        )
    opened.execute(
        "INSERT INTO metadata SELECT ?, 'images', count(DISTINCT img_id) FROM embeddings "
        "WHERE run_id = ?",
        (run_id, run_id),
    )
