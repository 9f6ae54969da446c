"""Flow `annotations`: ground truth as an artifact, and what of it was refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prefect import Task

from conf.annotations import CellLabels, Preset, YoloLabels
from conf.dataset import parse_source
from conf.load import LoadedPreset
from conf.runtime import Runtime
from conf.sources.cells import Source
from flows.annotations import ground_truth
from flows.planning import Plan, plan
from flows.run import Run
from storage.annotations.truth import Annotations
from storage.open import open_artifact
from storage.store import ArtifactStore
from storage.verify import verify

pytestmark = pytest.mark.usefixtures("prefect_harness")


def test_rendered_scenes_are_known_and_known_once(runtime: Runtime) -> None:
    preset = Preset(source=Source(count=3, size_px=64), labels=CellLabels())
    made = {item.name: item for item in ground_truth(preset, runtime).made}
    known = open_artifact(made["annotations"].artifact.key, runtime.store)
    assert isinstance(known, Annotations)
    assert len(known) == 3
    assert made["annotations"].note == "3 of 3 images; no faults"
    assert not [found for found in verify(ArtifactStore(runtime.store)) if not found.is_whole]
    again = {item.name: item.state for item in ground_truth(preset, runtime).made}
    assert again == {"dataset": "Cached", "annotations": "Cached"}


def test_what_is_refused_is_shown(add_photos: Callable[..., Path], runtime: Runtime) -> None:
    folder = add_photos(2)
    first = sorted(path for path in folder.iterdir() if path.is_file())[0]
    first.with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n4 0.5 0.5 0.5 0.5\n")
    source = parse_source({"source": "folder", "root": str(folder)})
    labels = YoloLabels(root=folder, names=("red",))
    run = ground_truth(Preset(source=source, labels=labels), runtime)
    assert run.made[-1].note == "1 of 2 images; 1 refused"
    (table,) = run.tables
    assert table.title == "Labels that were not taken as they stand: 1 of 1"
    assert table.rows == [
        (first.with_suffix(".txt").name, "2", "refused",
         "class out of range: 4, the classes are 0 to 0"),
    ]  # fmt: skip


def test_a_plan_reads_labels_without_prefect_and_tells_those_that_changed(
    add_photos: Callable[..., Path],
    runtime: Runtime,
    as_planned: Callable[..., tuple[Plan, Run]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = add_photos(2)
    label = folder / "000.txt"
    label.write_text("0 0.5 0.5 0.5 0.5\n")
    source = parse_source({"source": "folder", "root": str(folder)})
    preset = Preset(source=source, labels=YoloLabels(root=folder, names=("red",)))
    as_planned("annotations", preset, runtime)
    label.write_text("0 0.25 0.5 0.5 0.5\n")
    foreseen, made = as_planned("annotations", preset, runtime)
    assert [one.state for one in made.made] == ["Cached", "Completed"]
    monkeypatch.setattr(Task, "__call__", None)
    again = plan(LoadedPreset("annotations", "annotations", "", preset, runtime), runtime)
    assert {one.state for one in again.artifacts} == {"reuse"}
    assert foreseen.artifacts[1].state == "make"
