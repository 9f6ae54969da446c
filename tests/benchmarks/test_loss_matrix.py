from pathlib import Path

from benchmarks.loss_matrix import measure


def test_the_kernels_are_compared_with_a_forward_pass_a_pair(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["ratio"] > 20
    assert said["segmentation_ratio"] > 5
    assert said["whole_ratio"] > 0
    assert said["jit_seconds"] > 0
    assert said["large_images"] == 8
    assert set(said["pair_milliseconds_by_images"]) == {"2", "4"}
