from pathlib import Path

from benchmarks.scale_out import measure


def test_both_sides_make_all_parts_and_overhead_is_a_share_of_the_wall(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["ratio"] > 0
    assert 0 < said["overhead"] < said["overhead_beyond_waiting"] < 1
    assert said["overhead_wall_seconds"] > said["overhead_parts"] * 0.05 / 2
    assert len(said["one_worker_seconds"]) == len(said["two_workers_seconds"]) == 1
