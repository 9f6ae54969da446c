from pathlib import Path

from benchmarks.encode_overhead import measure


def test_it_compares_the_task_with_both_bare_loops(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["rows"] == 24
    for prefix in ("", "pocket_"):
        assert said[f"{prefix}ratio"] > 0
        assert said[f"{prefix}cpu_ratio"] > 0
        assert 0 < said[f"{prefix}mean_file_bytes"] <= 120_000
        sides = ("ours", "two_threads", "two_lanes")
        assert all(len(said[f"{prefix}all_{side}_seconds"]) == 1 for side in sides)
