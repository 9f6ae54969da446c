from pathlib import Path

import pytest

pytest.importorskip("ultralytics", reason="needs the extra yolo")
pytest.importorskip("pycocotools", reason="needs the extra dev")

from benchmarks.pocket_segmenter import measure


def test_the_pocket_model_finds_cells_in_scenes_it_was_not_trained_on(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["scenes"] == 16
    assert said["mask_map50"] == said["ratio"]
    assert said["mask_map50"] >= 0.9
    assert said["box_map50"] >= 0.9
