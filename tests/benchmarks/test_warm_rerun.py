from pathlib import Path

import pytest

from benchmarks import warm_rerun


@pytest.mark.usefixtures("prefect_harness")
def test_an_unchanged_run_is_cached_and_opens_no_image(tmp_path: Path) -> None:
    said = warm_rerun.measure(tmp_path, small=True)
    assert said["files"] == said["first_images_opened"] == 60
    assert said["images_opened"] == 0
    assert 0 < said["check_seconds"] < said["seconds"] < said["first_seconds"]
    assert said["start_seconds"] > 0


def test_the_count_of_opened_images_misses_none(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    opened = warm_rerun.count_opened(tmp_path)
    (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "c.txt").read_bytes()
    assert opened == {str(tmp_path / "a.jpg")}
