from pathlib import Path

from benchmarks import plan_speed


def test_plans_are_timed_of_an_unchanged_a_changed_and_a_grown_preset(tmp_path: Path) -> None:
    said = plan_speed.measure(tmp_path, small=True)
    assert (said["files"], said["artifacts"]) == (30, 8)
    assert set(said["states"]["unchanged"].values()) == {"reuse"}
    assert said["states"]["changed"] == {
        "dataset": "reuse", "prompts": "make", "features": "reuse", "labels": "make"
    }  # fmt: skip
    assert said["states"]["grown"] == {
        "dataset": "make", "prompts": "reuse", "features": "make", "labels": "make"
    }  # fmt: skip
    assert 0 < said["seconds"] < said["command_seconds"]
