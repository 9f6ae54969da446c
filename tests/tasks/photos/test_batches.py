"""Batches of photos on their way from folder to folder."""

from pathlib import Path
from typing import Any

from tasks.photos.batches import moved


def test_every_uri_of_a_batch_is_told_from_where_the_batch_now_lies(tmp_path: Path) -> None:
    photo = {
        "original_uri": "./in/a.jpg",
        "std_uri": "small/a%20b.jpg",
        "duplicates": ["in/b.jpg"],
        "mine": "./in/a.jpg",
    }
    failure = {"original_uri": "in/c.jpg", "stage": "ingest", "reason": "empty: 0 bytes"}
    batch = {"batch_id": "b1", "artifacts": [photo], "failed": [failure], "note": 1}
    done = moved(batch, tmp_path / "there", tmp_path / "out" / "deep")
    assert done["artifacts"] == [
        {
            "original_uri": "../../there/in/a.jpg",
            "std_uri": "../../there/small/a b.jpg",
            "duplicates": ["../../there/in/b.jpg"],
            "mine": "./in/a.jpg",
        }
    ]
    assert done["failed"] == [failure | {"original_uri": "../../there/in/c.jpg"}]
    assert list(done) == list(batch)
    assert moved(batch, tmp_path / "there", tmp_path / "there") is batch


def test_a_uri_that_cannot_be_a_path_stays_as_it_is(tmp_path: Path) -> None:
    photos: list[dict[str, Any]] = [{"original_uri": "a\0.jpg", "std_uri": None}]
    batch = {"batch_id": "b1", "artifacts": photos}
    assert moved(batch, tmp_path, tmp_path / "out") == batch
