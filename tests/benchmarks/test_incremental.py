from pathlib import Path

from benchmarks.incremental import measure


def test_the_encoder_sees_the_added_images_and_no_other(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["first"]["rows_encoded"] == said["rows"] == 40
    assert said["rows_encoded"] == said["rows_added"] == 18
    assert 1 <= said["rows_checked"] <= 2
    assert said["ratio"] > 0
