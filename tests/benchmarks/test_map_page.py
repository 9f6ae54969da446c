from pathlib import Path

import pytest

from benchmarks import map_page


@pytest.mark.browser
def test_a_page_is_dragged_and_a_large_one_opened(tmp_path: Path) -> None:
    found = map_page.measure(tmp_path, small=True)
    assert found["points"] == 500
    assert found["ratio"] > 0
    assert 0 < found["frame_milliseconds"] <= found["frame_milliseconds_p95"]
    assert found["script_milliseconds_a_step"] < found["plotly_script_milliseconds_a_step"]
    assert 0 < found["seconds_to_open_many"] < 30
