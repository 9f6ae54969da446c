from pathlib import Path

from benchmarks.memory import measure


def test_peak_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["rows"] - said["few_rows"] == 256
    # Kept decoded, these 256 images would take 50 MB, a quarter of all there is.
    assert said["bytes_per_row"] < said["decoded_bytes_per_row"] / 2
