from pathlib import Path

from benchmarks.quality_speed import measure


def test_the_task_is_faster_than_the_composition_of_libraries(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["photos"] == 4
    assert said["ratio"] > 1
