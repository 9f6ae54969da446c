from pathlib import Path

from benchmarks.extract import measure


def test_looking_is_compared_with_bare_forward_passes(tmp_path: Path) -> None:
    figures = measure(tmp_path, small=True)
    assert figures["rows"] == 6
    assert figures["ratio"] > 0
    assert figures["seconds"] > 0 < figures["bare_seconds"]
