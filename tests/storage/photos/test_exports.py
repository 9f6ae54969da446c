"""What a batch leaves outside the store."""

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.photos.exports import IMAGES, sweep_exports, write_table


def test_only_old_leftovers_of_killed_runs_are_swept(tmp_path: Path) -> None:
    (tmp_path / IMAGES).mkdir()
    old = time.time() - 7200
    names = (".b1.json.0123abcd.tmp", f"{IMAGES}/.a.jpg.0123abcd.tmp", "b1.json", "mine.tmp")
    for name in names:
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (old, old))
    (tmp_path / ".b1.html.89ab0123.tmp").write_text("")  # of a run that may be going on
    sweep_exports(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"b1.json", "mine.tmp", ".b1.html.89ab0123.tmp"}


def test_the_table_keeps_numbers_as_numbers_and_what_does_not_fit_as_text(tmp_path: Path) -> None:
    photos: list[dict[str, Any]] = [
        {"exif": {"iso": 64, "gps": None}, "size": [3840, 2160], "mine": [1, 0.5], "odd": 1},
        {"exif": {"iso": None, "gps": {"latitude": 1.5}}, "size": None, "mine": [], "odd": "one"},
        {"exif": {"iso": 100}, "size": [2, 1], "odd": [{"a": 1}], "huge": 10**400, "long": 1 << 70},
    ]
    write_table(tmp_path / "b.parquet", photos)
    table = pq.read_table(tmp_path / "b.parquet")
    kinds = {field.name: field.type for field in table.schema}
    assert kinds["exif.iso"] == pa.int64()
    assert kinds["exif.gps.latitude"] == kinds["long"] == pa.float64()
    assert kinds["size"] == pa.list_(pa.int64())
    assert kinds["mine"] == pa.list_(pa.float64())
    assert kinds["odd"] == kinds["huge"] == pa.string()
    rows = table.to_pylist()
    assert [row["size"] for row in rows] == [[3840, 2160], None, [2, 1]]
    assert [row["odd"] for row in rows] == ["1", "one", "[{'a': 1}]"]


def test_labels_are_three_lists_and_what_else_bears_their_name_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    best = {"label": "sea", "confidence": 0.5, "cosine_score": 0.25}
    mine: dict[str, Any] = {"clip_labels": ["a"], "missing": {"clip_labels": "weights missing"}}
    write_table(tmp_path / "b.parquet", [{"features": {"clip_labels": [best]}}, {"mine": mine}])
    labelled, other = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert labelled["features.clip_labels.label"] == ["sea"]
    assert labelled["features.clip_labels.cosine_score"] == [0.25]
    assert other["mine.clip_labels"] == ["a"]
    assert other["mine.missing.clip_labels"] == "weights missing"
