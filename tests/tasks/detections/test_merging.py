"""Several runs in one embeddings.db: detectors and encoders side by side, unmixed."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from storage.detections import Detections
from storage.detections.both import validate
from storage.detections.merging import merge
from storage.errors import StoreError
from storage.images import ImageFeatures

TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
TINY_DINO = {
    "architecture": "vit_small_patch14_dinov2",
    "model_args": {"img_size": 56, "embed_dim": 48, "depth": 1, "num_heads": 2},
    "pretrained_cfg": {"input_size": [3, 56, 56], "mean": [0.5] * 3, "std": [0.25] * 3},
}


def write_encoders(models: Path) -> None:
    """Write the configurations of a CLIP and of a DINOv2 that are small."""
    clip, dino = models / "clip", models / "dino"
    clip.mkdir()
    dino.mkdir()
    said = {"model_cfg": TINY_CLIP, "preprocess_cfg": {}}
    (clip / "open_clip_config.json").write_text(json.dumps(said))
    (dino / "config.json").write_text(json.dumps(TINY_DINO))


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as opened:
        return list(opened.execute(question).fetchall())


def wrong(path: Path) -> dict[str, str]:
    return {check.name: check.told for check in validate(path) if not check.passed}


def test_runs_of_detectors_and_encoders_lie_side_by_side(
    scene: Any, detections: Detections, tmp_path: Path
) -> None:
    other, encoder = scene.detect(scene.recipe(layers=(3,))), scene.encode()
    path = tmp_path / "all.db"
    runs = merge(scene.store, [detections.artifact, other.artifact, encoder], path)
    assert list(runs.values()) == [1, 2, 3]
    assert ask(path, "SELECT count(*) FROM images") == [(6,)]
    assert ask(path, "SELECT run_id, count(*) FROM embeddings GROUP BY 1") == [
        (1, 6),
        (2, 6),
        (3, 6),
    ]
    for table in ("features", "predictions"):
        assert ask(path, f"SELECT DISTINCT run_id FROM {table}") == [(1,), (2,)]
    losses = "SELECT count(box_loss), count(mean_conf), count(hit_freq) FROM embeddings"
    assert ask(path, f"{losses} WHERE run_id = 3") == [(0, 0, 0)]
    assert wrong(path) == {}
    question = (
        "SELECT sha256, embedding, mean_iou, dfl_loss FROM embeddings JOIN images USING (img_id) "
        "WHERE run_id = 1 ORDER BY sha256"
    )
    assert ask(path, question) == ask(detections.database, question)


def test_clip_and_dino_fill_embeddings_only_and_a_detector_fills_all(
    scene: Any, detections: Detections, tmp_path: Path
) -> None:
    write_encoders(scene.runtime.models)
    clip = scene.encode(family="open_clip", name="local-dir:clip", weights="random:1")
    dino = scene.encode(family="timm", name="local-dir:dino", weights="random:3")
    path = tmp_path / "all.db"
    merge(scene.store, [clip, detections.artifact, dino], path)
    question = "SELECT run_id, family, head, task FROM runs"
    assert ask(path, question) == [
        (1, "open_clip", None, None),
        (2, "yolo", "v8", "segment"),
        (3, "timm", None, None),
    ]
    assert ask(path, "SELECT count(*) FROM images") == [(6,)]
    columns = "box_loss, seg_loss, mean_conf, mean_iou, category_distribution, flag_cat"
    filled = ", ".join(f"count({name})" for name in columns.split(", "))
    question = f"SELECT run_id, count(embedding), {filled} FROM embeddings GROUP BY run_id"
    rows = ask(path, question)
    assert [row[1] for row in rows] == [6, 6, 6]
    assert rows[0][2:] == rows[2][2:] == (0,) * 6
    assert all(rows[1][2:5] + rows[1][6:])  # random weights match no object
    for table in ("features", "predictions", "classes"):
        assert ask(path, f"SELECT DISTINCT run_id FROM {table}") == [(2,)]
    assert wrong(path) == {}
    for run_id, artifact in ((1, clip), (3, dino)):
        features = ImageFeatures(scene.store, artifact)
        told = dict(
            ask(path, "SELECT sha256, embedding FROM embeddings JOIN images USING (img_id) "
                f"WHERE run_id = {run_id}")
        )  # fmt: skip
        for content, row in zip(features.contents, features.pooled(), strict=True):
            np.testing.assert_array_equal(load(told[content])["embedding"], row)


def test_a_run_is_merged_once(scene: Any, detections: Detections, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="was named twice; a run is in a database once"):
        merge(scene.store, [detections.artifact] * 2, tmp_path / "all.db")
    assert not list(tmp_path.iterdir())


def test_what_has_no_embeddings_is_not_merged(scene: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no embeddings of images\. What can be exported"):
        merge(scene.store, [scene.dataset], tmp_path / "all.db")
