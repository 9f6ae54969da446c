"""Is an embeddings.db what it says? Every number is compared with one that must agree."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.detections.checks import Check, Checking, check_frame
from storage.detections.database import COUNTED, TABLES
from storage.detections.parts import LOSSES, METRICS
from storage.detections.schema import connect

_HALF = 2e-3  # what float16 maps and float32 means may differ by, relative to the largest value
_SUMMED = 1e-4

Row = Mapping[str, Any]
Runs = dict[str, dict[str, Any]]


def validate_embeddings(path: Path) -> tuple[list[Check], Runs]:
    """Return what checking embeddings.db found, and its runs by key: the row of each with
    `images`, the set of its contents. Raises StoreError when there is no file."""
    with closing(connect(path)) as opened:
        whole = Checking(path.name)
        if not check_frame(opened, TABLES, whole):
            return whole.made, {}
        runs = runs_of(opened, "embeddings", ("embeddings.img_id",))
        found = whole.made
        for run in runs.values():
            checking = Checking(f"{path.name}, run {run['run_id']}")
            _check_run(opened, run, checking)
            found += checking.made
    return found, runs


def runs_of(opened: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> Runs:
    """Return the rows of `runs` by key, each with the contents that its rows of `table` name."""
    found: Runs = {}
    for row in opened.execute("SELECT * FROM runs ORDER BY run_id").fetchall():
        contents: set[str] = set()
        for column in columns:
            query = (
                f"SELECT DISTINCT sha256 FROM {table} JOIN images ON images.img_id = {column} "
                "WHERE run_id = ?"
            )
            contents |= {sha256 for (sha256,) in opened.execute(query, (row["run_id"],))}
        found[row["key"]] = dict(row) | {"images": contents}
    return found


def _check_run(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    _check_counts(opened, run, checking)
    if run["head"] is None:
        _check_isolation(opened, run, checking)
        _check_embeddings(opened, run, checking)
        return
    _check_embeddings(opened, run, checking)
    _check_features(opened, run, checking)
    _check_predictions(opened, run, checking)
    _check_losses(opened, run, checking)
    _check_ranges(opened, run, checking)


def _count(opened: sqlite3.Connection, run: Row, table: str) -> int:
    query = f"SELECT count(*) FROM {table} WHERE run_id = ?"
    return int(opened.execute(query, (run["run_id"],)).fetchone()[0])


def _check_counts(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    told = dict(
        opened.execute("SELECT name, value FROM metadata WHERE run_id = ?", (run["run_id"],))
    )
    counted = {table: _count(opened, run, table) for table in COUNTED}
    counted["images"] = len(run["images"])
    for name, count in counted.items():
        checking.equal(f"metadata: {name}", told.get(name), count)
    checking.equal("one embedding an image", counted["embeddings"], counted["images"])
    wanted = 0 if run["head"] is None else counted["images"]
    checking.equal("one row of features an image", counted["features"], wanted)


def _check_isolation(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    """An encoder fills `embeddings`, and of it nothing that only detectors have."""
    checking.equal("an encoder has no predictions", _count(opened, run, "predictions"), 0)
    only = " OR ".join(f"{name} IS NOT NULL" for name in (*LOSSES, *METRICS))
    query = f"SELECT count(*) FROM embeddings WHERE run_id = ? AND ({only})"
    filled = opened.execute(query, (run["run_id"],)).fetchone()[0]
    checking.equal("an encoder has no losses and metrics", filled, 0)


def _arrays(blob: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(blob))
    except SafetensorError as problem:
        raise ValueError(f"is not safetensors: {problem}") from problem


def _check_embeddings(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    faults, widths, rows = [], set(), 0
    query = "SELECT img_id, embedding FROM embeddings WHERE run_id = ?"
    for img_id, blob in opened.execute(query, (run["run_id"],)):
        rows += 1
        try:
            (embedding,) = _arrays(blob).values()
        except ValueError as problem:
            faults.append(f"the embedding of image {img_id} {problem}")
            continue
        widths.add(embedding.shape)
        if embedding.dtype != np.float32 or not np.isfinite(embedding).all():
            faults.append(f"the embedding of image {img_id} is not all finite float32")
    checking.check("embeddings: finite float32", rows, faults)
    wide = [] if len(widths) <= 1 else [f"embeddings of shapes {sorted(widths)} in one run"]
    checking.check("embeddings: of one shape", rows, wide)


def _check_features(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    """The last layer's mean is the embedding; the mean of a map is the stored mean."""
    faults, shapes, rows = [], set(), 0
    query = (
        "SELECT img_id, embedding, gap_features, bottleneck_features "
        "FROM embeddings JOIN features USING (run_id, img_id) WHERE run_id = ?"
    )
    for img_id, embedding, gap, maps in opened.execute(query, (run["run_id"],)):
        rows += 1
        try:
            whole, means = _arrays(embedding)["embedding"], _arrays(gap)
            maps_of = _arrays(maps) if maps else {}
            names = sorted(means, key=lambda name: int(name.rpartition("_")[2]))
            last = means[names[-1]][0]
            wrong = [name for name in maps_of if not _has_mean(maps_of[name], means[name])]
        except (ValueError, LookupError) as problem:
            faults.append(f"the features of image {img_id} cannot be compared: {problem}")
            continue
        shapes.add(tuple((name, means[name].shape) for name in names))
        if not np.array_equal(last, whole):
            faults.append(f"the embedding of image {img_id} is not the mean of {names[-1]}")
        faults += [
            f"the map {name} of image {img_id} does not have the mean that is stored"
            for name in wrong
        ]
    checking.check("features: means, maps and embedding agree", rows, faults)
    wide = [] if len(shapes) <= 1 else [f"{len(shapes)} sets of layers or shapes in one run"]
    checking.check("features: of one shape", rows, wide)


def _has_mean(values: NDArray[Any], mean: NDArray[Any]) -> bool:
    found = values.astype(np.float64).mean(axis=(1, 2))
    scale = max(float(np.abs(values).max(initial=0)), 1e-6)
    return found.shape == mean.shape and bool(np.abs(found - mean).max() <= _HALF * scale)


def _check_predictions(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    names = dict(
        opened.execute(
            "SELECT class_id, name FROM classes WHERE run_id = ? AND scheme = 'model'",
            (run["run_id"],),
        )
    )
    boxes, masks, classes, means, rows = [], [], [], [], 0
    for img_id, image, found in _by_image(opened, run):
        rows += len(found)
        for row in found:
            boxes += _box_faults(row, image, run)
            masks += _mask_faults(row, image, run)
            if names.get(row["class_id"]) != row["class_name"]:
                classes.append(
                    f"prediction {row['id']} has class {row['class_id']} {row['class_name']!r}, "
                    f"the model says {names.get(row['class_id'])!r}"
                )
        means += _summary_faults(img_id, image, found, run)
    checking.check("predictions: boxes and confidences", rows, boxes)
    checking.check("predictions: masks", rows, masks)
    checking.check("predictions: classes", rows, classes)
    checking.check("predictions: mean_conf, category_distribution", len(run["images"]), means)


def _by_image(opened: sqlite3.Connection, run: Row) -> Iterator[tuple[int, Row, list[Row]]]:
    images = opened.execute(
        "SELECT * FROM embeddings JOIN images USING (img_id) WHERE run_id = ?", (run["run_id"],)
    )
    query = "SELECT * FROM predictions WHERE run_id = ? AND img_id = ?"
    for image in images.fetchall():
        rows = opened.execute(query, (run["run_id"], image["img_id"])).fetchall()
        yield image["img_id"], image, rows


def _box_faults(row: Row, image: Row, run: Row) -> list[str]:
    x1, y1, x2, y2 = (row[f"box_{side}"] for side in ("x1", "y1", "x2", "y2"))
    width_px, height_px = image["width_px"] or 0, image["height_px"] or 0  # null: nothing fits
    inside = 0 <= x1 < x2 <= width_px and 0 <= y1 < y2 <= height_px
    faults = [] if inside else [f"prediction {row['id']} lies outside of its image"]
    if not run["conf"] < row["confidence"] <= 1:
        faults.append(
            f"prediction {row['id']} has confidence {row['confidence']}, the least is {run['conf']}"
        )
    return faults


def _mask_faults(row: Row, image: Row, run: Row) -> list[str]:
    place = f"the mask of prediction {row['id']}"
    if row["mask"] is None:
        return [f"{place} is missing"] if run["task"] == "segment" else []
    try:
        mask = json.loads(row["mask"])
        size, counts = mask["size"], mask["counts"]
        pixels = sum(counts)
    except (ValueError, KeyError, TypeError):
        return [f"{place} is no run-length encoding"]
    if size != [image["height_px"], image["width_px"]]:
        return [f"{place} is {size}, its image {image['height_px']} x {image['width_px']}"]
    if pixels != size[0] * size[1] or min(counts) < 0:
        return [f"{place} has runs of {pixels} pixels for {size[0] * size[1]}"]
    return []


def _summary_faults(img_id: int, image: Row, found: list[Row], run: Row) -> list[str]:
    faults = []
    if len(found) > run["max_det"]:
        faults.append(f"image {img_id} has {len(found)} predictions, at most {run['max_det']} fit")
    mean = sum(row["confidence"] for row in found) / len(found) if found else None
    stored = image["mean_conf"]
    if (mean is None) != (stored is None) or (mean and abs(mean - stored) > _SUMMED):
        faults.append(f"image {img_id} has mean_conf {stored}, its predictions {mean}")
    counts: dict[str, int] = {}
    for row in found:
        counts[str(row["class_id"])] = counts.get(str(row["class_id"]), 0) + 1
    if _distribution(image) != counts:
        faults.append(f"the category_distribution of image {img_id} is not that of its predictions")
    return faults


def _distribution(image: Row) -> Any:
    try:
        return json.loads(image["category_distribution"] or "null")
    except ValueError:
        return None


def components_of(run: Row) -> set[str]:
    """Return the losses that the run's head has."""
    found = {"box", "cls", "l1" if run["head"] == "26" else "dfl"}
    if run["task"] == "segment":
        found |= {"seg", "sem"} if run["head"] == "26" else {"seg"}
    return found


def _check_losses(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    """A loss is there and not negative when the head has it, null otherwise or with a reason."""
    has = components_of(run)
    faults, rows = [], 0
    query = "SELECT * FROM embeddings WHERE run_id = ?"
    for row in opened.execute(query, (run["run_id"],)):
        rows += 1
        for name in LOSSES:
            value = row[name]
            if name.removesuffix("_loss") not in has:
                wrong = value is not None
            else:
                wrong = not row["reason"] if value is None else not 0 <= value < np.inf
            if wrong:
                faults.append(f"{name} of image {row['img_id']} is {value} without a reason")
    checking.check("losses", rows * len(LOSSES), faults)


def _check_ranges(opened: sqlite3.Connection, run: Row, checking: Checking) -> None:
    limits = {"mean_iou": 0.5, "mean_conf": 0, "hit_freq": 0, "dice_score": 0}
    faults = [
        f"{name} of image {row['img_id']} is {row[name]}"
        for row in opened.execute("SELECT * FROM embeddings WHERE run_id = ?", (run["run_id"],))
        for name, least in limits.items()
        if row[name] is not None and not least <= row[name] <= 1
    ]
    checking.check("metrics from 0 to 1", len(run["images"]) * len(METRICS), faults)
