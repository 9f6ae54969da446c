"""The benchmark of maps runs."""

from pathlib import Path

import pytest

from benchmarks import projection_speed


def test_it_measures_both_sides_and_their_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ("ours", "scikit_learn")
    sides = projection_speed.SIDES
    figures = {"cpu_seconds": 1.0, "trustworthiness": 1.0, "peak_memory_bytes": 1}
    real = projection_speed._apart
    monkeypatch.setattr(
        projection_speed,
        "_apart",
        lambda folder, name: real(folder, name) if name in kept else figures,
    )
    found = projection_speed.measure(tmp_path, small=True)
    assert sides.keys() > set(kept)
    assert found["ratio"] > 0
    assert found["anchors"] == 400
    assert found["standard_error"] == 0
    assert found["trustworthiness"] >= found["scikit_learn_trustworthiness"] - 0.02
    assert set(found["cpu_seconds_by_step"]) == {
        "hash", "components", "neighbours", "tsne", "trust",
    }  # fmt: skip
    assert found["map_peak_memory_bytes"] > 1 << 20
