"""Several runs in one embeddings.db: detections and encoders' features side by side, unmixed."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from conf.detections import DetectionRecipe
from conf.images import ImageRecipe
from storage.detections.database import COUNTED, TABLES, array_blob, insert_counts
from storage.detections.reading import Detections
from storage.detections.schema import RunRow, connect, insert, insert_run, new_database
from storage.errors import StoreError
from storage.images import ImageFeatures
from storage.store import Artifact, ArtifactStore

_COPIED = (*COUNTED, "classes")
_ROWS_AT_ONCE = 4096


def merge(store: ArtifactStore, artifacts: Sequence[Artifact], path: Path) -> dict[str, int]:
    """Write the runs of `artifacts` as one embeddings.db at `path`; return run_id by key.

    An image is one row of `images`, however many runs saw it. Detections bring all tables, features
    of an encoder `embeddings` only. Raises StoreError for artifacts that are neither, and for one
    given twice.
    """
    _refuse(artifacts)
    with new_database(path, TABLES) as opened:
        ids = {}
        for artifact in artifacts:
            if artifact.kind == ImageRecipe.kind:
                ids[artifact.key] = _add_features(opened, ImageFeatures(store, artifact))
            else:
                ids[artifact.key] = _add_database(opened, Detections(store, artifact).database)
    return ids


def _refuse(artifacts: Sequence[Artifact]) -> None:
    for artifact in artifacts:
        if artifact.kind not in {DetectionRecipe.kind, ImageRecipe.kind}:
            raise StoreError(
                f"{artifact.key} holds no embeddings of images. What can be exported into "
                f"embeddings.db are {DetectionRecipe.kind} and {ImageRecipe.kind}."
            )
        if sum(other.key == artifact.key for other in artifacts) > 1:
            raise StoreError(f"{artifact.key} was named twice; a run is in a database once.")


def _add_database(opened: sqlite3.Connection, database: Path) -> int:
    """Copy the one run of an artifact's database; return its new run_id."""
    with closing(connect(database)) as source:
        (run,) = (dict(row) for row in source.execute("SELECT * FROM runs"))
        del run["run_id"]
        insert(opened, "runs", [run])
        run_id = _run_id(opened, run["key"])
        ids = {
            row["img_id"]: _image_id(opened, row["sha256"], row["height_px"], row["width_px"])
            for row in source.execute("SELECT * FROM images")
        }
        for table in _COPIED:
            rows = source.execute(f"SELECT * FROM {table}")
            while block := rows.fetchmany(_ROWS_AT_ONCE):
                insert(opened, table, [_renumbered(dict(row), run_id, ids) for row in block])
    insert_counts(opened, run_id)
    return run_id


def _renumbered(row: dict[str, Any], run_id: int, ids: dict[int, int]) -> dict[str, Any]:
    row.pop("id", None)
    if "img_id" in row:
        row["img_id"] = ids[row["img_id"]]
    return row | {"run_id": run_id}


def _run_id(opened: sqlite3.Connection, key: str) -> int:
    return int(opened.execute("SELECT run_id FROM runs WHERE key = ?", (key,)).fetchone()[0])


def _image_id(
    opened: sqlite3.Connection, sha256: str, height_px: int | None, width_px: int | None
) -> int:
    """Return the img_id of a content, inserted where it is new, its size told where it was not."""
    opened.execute(
        "INSERT INTO images (sha256, height_px, width_px) VALUES (?1, ?2, ?3) "
        "ON CONFLICT (sha256) DO UPDATE SET height_px = coalesce(height_px, ?2), "
        "width_px = coalesce(width_px, ?3)",
        (sha256, height_px, width_px),
    )
    found = opened.execute("SELECT img_id FROM images WHERE sha256 = ?", (sha256,)).fetchone()
    return int(found[0])


def _add_features(opened: sqlite3.Connection, features: ImageFeatures) -> int:
    """Put the features of an encoder into `embeddings`, and nothing elsewhere."""
    import numpy as np

    manifest = features.manifest
    run = RunRow(features.artifact.key, manifest.recipe, _seconds(manifest.made["at"]))
    run_id = insert_run(opened, run)
    for content, feature in zip(features.contents, features.pooled(), strict=True):
        image = _image_id(opened, content, None, None)
        blob = array_blob({"embedding": feature.astype(np.float32)})
        insert(opened, "embeddings", [{"run_id": run_id, "img_id": image, "embedding": blob}])
    insert_counts(opened, run_id)
    return run_id


def _seconds(at: str) -> int:
    """Return seconds since 1970 of a manifest's time, "2026-01-31T12:00:00Z"."""
    from datetime import datetime

    return int(datetime.fromisoformat(at).timestamp())
