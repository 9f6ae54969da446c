from pathlib import Path

import pytest

from benchmarks.photos_rerun import measure


@pytest.mark.usefixtures("prefect_harness")
def test_an_unchanged_batch_makes_nothing_and_more_photos_cost_only_themselves(
    tmp_path: Path,
) -> None:
    (said,) = measure(tmp_path, small=True)["at"].values()
    for run in ("first", "again", "more"):
        assert said[run]["task_seconds"] > 0
        assert said[run]["stage_seconds"] < said[run]["seconds"]
    assert said["again"]["rows_made"] == 0
    assert 0 < said["more"]["rows_made"] < said["first"]["rows_made"]
