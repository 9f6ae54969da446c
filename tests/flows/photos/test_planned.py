"""What a plan of `photos` says is what the run then does, wherever its exports are."""

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from conf.load import LoadedPreset
from conf.photos import Preset
from conf.runtime import Runtime
from flows.planning import Plan, plan
from flows.run import Run


def planned(asked: Preset, runtime: Runtime) -> Plan:
    return plan(LoadedPreset("photos", "photos", "", asked, runtime), runtime)


def states(found: Plan) -> dict[str, str]:
    return {one.name.partition("/")[2]: one.state for one in found.artifacts}


def test_what_follows_the_standard_images_is_known_when_they_are_made(
    preset: Callable[..., Preset], make: Callable[..., Run], runtime: Runtime
) -> None:
    known = "what follows photos/standard: known when that is made"
    fresh = planned(preset(), runtime)
    assert list(states(fresh)) == ["originals", "exif", "standard"]
    assert fresh.unknown == [known]
    make(preset())
    other = planned(preset(max_side_px=72), runtime)
    assert states(other)["exif"] == "reuse"
    assert other.unknown == [known]


@pytest.mark.parametrize(
    ("stage", "made"),
    [
        ("ingest", ["originals", "exif", "standard"]),
        ("preprocess", ["originals", "exif", "standard"]),
        ("features", ["originals", "exif", "prompts", "features", "labels", "antonyms"]),
    ],
)
def test_a_stage_that_nothing_made_follows_is_planned_whole(
    stage: str, made: list[str], preset: Callable[..., Preset], runtime: Runtime
) -> None:
    found = planned(preset(stage=stage), runtime)
    assert (list(states(found))[: len(made)], found.unknown) == (made, [])


def test_a_plan_needs_no_export_and_leaves_none(
    folder: Path, preset: Callable[..., Preset], make: Callable[..., Run], runtime: Runtime
) -> None:
    made = make(preset(max_side_px=72)).made
    make(preset())  # the same batch: its export names other standard images now
    out = folder.parent / "out"
    for asked in (preset(), preset(max_side_px=72), preset(out=folder.parent / "elsewhere")):
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
        found = planned(asked, runtime)
        assert set(states(found).values()) == {"reuse"}
        assert [name for name in states(found)] == [one.name for one in made]
        assert found.unknown == []
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    shutil.rmtree(out)
    with patch("flows.photos.announce", side_effect=AssertionError("a plan tells nobody")):
        assert planned(preset(), runtime).unknown == []
    assert not out.exists()


def test_a_plan_says_which_scores_a_changed_label_list_makes(
    preset: Callable[..., Preset], make: Callable[..., Run], runtime: Runtime
) -> None:
    make(preset())
    found = planned(preset(top=1), runtime)
    assert [name for name, state in states(found).items() if state != "reuse"] == ["labels"]
    (labels,) = [one for one in found.artifacts if one.state != "reuse"]
    assert labels.reasons == ("top: 1, was 2",)
    assert found.unknown == []
