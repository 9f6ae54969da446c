from pathlib import Path

import pytest

from benchmarks.scale_out import burn, make_parts, turns_for
from conf.runtime import Runtime
from storage.store import ArtifactStore


@pytest.mark.usefixtures("prefect_harness")
def test_all_parts_are_sealed_and_their_own_seconds_are_no_more_than_the_workers_had(
    tmp_path: Path,
) -> None:
    runtime = Runtime(store=tmp_path / "store", part_rows=1, workers=2, take_over=False)
    wall, own = make_parts(runtime.model_copy(update={"progress": False}), 4, 1, 0.05)
    assert 4 * 0.05 <= own <= 2 * wall
    assert ArtifactStore(runtime.store).resolve("scale-out/features-4").rows == 4


def test_the_work_of_a_part_is_the_same_each_time_and_longer_for_more_turns() -> None:
    assert burn(3) == burn(3) != burn(4)
    assert turns_for(0.2) > turns_for(0.01) >= 1
