from pathlib import Path

from benchmarks.clip_iqa import measure


def test_clip_iqa_shares_the_one_forward_pass_of_labelling(tmp_path: Path) -> None:
    said = measure(tmp_path, small=True)
    assert said["images_encoded"] == said["photos"] == 8
    assert said["images_encoded_by_clip_iqa"] == 0
    assert 0 < said["ratio"] < 1
