"""The flow of detections, and the verb that looks into what it made."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.annotations import CellLabels
from conf.detections import Preset, Thresholds
from conf.errors import RecipeError
from conf.load import LoadedPreset
from conf.losses import Preset as LossPreset
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources.cells import Source
from flows import cli
from flows.detections import detect
from flows.planning import Plan, plan
from flows.run import Run
from storage.readers.cells.kinds import KINDS

Planned = Callable[..., tuple[Plan, Run]]
MODEL = ModelSpec(family="yolo", name="tiny.yaml", weights="random:0", precision="fp32")
PRESET = Preset(
    source=Source(count=5, size_px=80),
    labels=CellLabels(),
    model=MODEL,
    size_px=96,
    thresholds=Thresholds(conf=0.0015, max_det=9),
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    folder = tmp_path_factory.mktemp("flow")
    architecture = {
        "nc": len(KINDS),
        "names": [kind.name for kind in KINDS],
        "backbone": [[-1, 1, "Conv", [width, 3, 2]] for width in (8, 8, 16, 16, 24)],
        "head": [[[2, 3, 4], 1, "Segment", ["nc", 32, 16]]],
    }
    (folder / "models").mkdir()
    (folder / "models" / "tiny.yaml").write_text(yaml.safe_dump(architecture))
    return Runtime(
        store=folder / "store", models=folder / "models", part_rows=3, lanes=1, progress=False
    )


@pytest.fixture(scope="module")
def run(prefect_harness: None, runtime: Runtime, as_planned: Planned) -> Run:
    return as_planned("detections", PRESET, runtime)[1]


def state_of(run: Run, name: str) -> tuple[str, int]:
    (made,) = [made for made in run.made if made.name == name]
    return made.state, made.rows_made


def verb(runtime: Runtime, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = cli.main(["detections", *words, "--json", "--store", str(runtime.store)])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else told.err


def test_one_run_makes_the_dataset_its_truth_and_the_detections(run: Run) -> None:
    assert [made.name for made in run.made] == ["dataset", "annotations", "detections"]
    assert state_of(run, "detections") == ("Completed", 5)
    assert [table.title for table in run.tables][-1] == "What was found, class by class"


def test_the_second_run_makes_nothing(run: Run, runtime: Runtime) -> None:
    again = detect(PRESET, runtime)
    assert state_of(again, "detections") == ("Cached", 0)


def test_layers_that_feed_the_head_named_or_not_are_the_same_run(
    run: Run, runtime: Runtime
) -> None:
    again = detect(PRESET.model_copy(update={"layers": (2, 3, 4)}), runtime)
    assert state_of(again, "detections") == ("Cached", 0)


def test_more_images_cost_only_themselves(run: Run, runtime: Runtime, as_planned: Planned) -> None:
    more = PRESET.model_copy(update={"source": Source(count=6, size_px=80)})
    foreseen, made = as_planned("detections", more, runtime)
    assert state_of(made, "detections") == ("Completed", 1)
    assert told(foreseen)["detections"] == ("annotations is made anew", "rows: 1 new")


def test_a_plan_tells_a_threshold_and_what_losses_and_groups_follow_it(
    run: Run, runtime: Runtime, as_planned: Planned
) -> None:
    settings = LossPreset.model_validate(PRESET.model_dump())
    as_planned("losses", settings, runtime)
    groups = settings.losses.groups.model_copy(update={"neighbours": 3})
    losses = settings.losses.model_copy(update={"groups": groups})
    foreseen, _ = as_planned("losses", settings.model_copy(update={"losses": losses}), runtime)
    assert told(foreseen) == {"loss-clusters": ("neighbours: 3, was 10",)}
    thresholds = PRESET.thresholds.model_copy(update={"max_det": 8})
    fewer = settings.model_copy(update={"thresholds": thresholds, "losses": losses})
    foreseen, _ = as_planned("losses", fewer, runtime)
    assert told(foreseen) == {
        "detections": ("thresholds.max_det: 8, was 9",),
        "losses": ("another model, size, threshold or backend: every pair is computed",),
        "loss-clusters": ("losses is made anew",),
    }


def test_a_plan_counts_the_pairs_that_any_matrix_of_the_family_has(
    run: Run, runtime: Runtime, as_planned: Planned
) -> None:
    settings = LossPreset.model_validate(PRESET.model_dump())
    as_planned("losses", settings, runtime)
    more = settings.model_copy(update={"source": Source(count=6, size_px=80)})

    def losses(name: str, **given: Any) -> tuple[str, ...]:
        asked = LoadedPreset(name, "losses", "", more, runtime)
        return told(plan(asked, runtime.model_copy(update=given)))["losses"]

    known = "1 new image beside 5 known: 11 of 36 pairs are computed, the others taken over"
    assert losses("losses") == losses("a name that is new") == (known,)
    assert losses("losses", take_over=False) == ("take_over is off: all 36 pairs are computed",)


def told(foreseen: Plan) -> dict[str, tuple[str, ...]]:
    return {one.name.partition("/")[2]: one.reasons for one in foreseen.artifacts if one.reasons}


def test_a_classification_model_is_refused_before_anything_is_made(
    prefect_harness: None, runtime: Runtime
) -> None:
    model = MODEL.model_copy(update={"name": "yolo11n-cls"})
    with pytest.raises(RecipeError, match="is a classification model, which finds no objects"):
        detect(PRESET.model_copy(update={"model": model}), runtime)


def test_the_verb_lists_and_shows(
    run: Run, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    code, listed = verb(runtime, capsys, "ls")
    assert code == 0
    assert {row["model"] for row in listed} == {"tiny.yaml"}
    key = run.made[-1].artifact.key
    _, classes = verb(runtime, capsys, "show", key)
    _, images = verb(runtime, capsys, "images", key, "--count", "3")
    assert len(images) == 3
    assert images[0]["box_loss"] >= images[1]["box_loss"]
    _, found = verb(runtime, capsys, "found", key, images[0]["content_sha256"][:20])
    assert len(found) == images[0]["detections"] > 0
    assert {row["class_name"] for row in found} <= {row["class_name"] for row in classes}


def test_the_verb_checks_and_merges(
    run: Run, runtime: Runtime, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = run.made[-1].artifact.key
    code, told = verb(runtime, capsys, "export", key, "--into", str(tmp_path / "all.db"))
    assert code == 0
    assert told["runs"] == {key: 1}
    code, told = verb(runtime, capsys, "validate", str(tmp_path / "all.db"))
    assert code == 0
    assert told["passed"]
    with closing(sqlite3.connect(tmp_path / "all.db")) as opened:
        opened.execute("UPDATE predictions SET class_id = 99 WHERE id = 1")
        opened.commit()
    code, told = verb(runtime, capsys, "validate", str(tmp_path / "all.db"))
    assert code == 3
    assert not told["passed"]


def test_the_verb_draws_known_and_found_objects_as_one_page(
    run: Run, runtime: Runtime, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key, path = run.made[-1].artifact.key, tmp_path / "page.html"
    code, told = verb(runtime, capsys, "page", key, "--into", str(path), "--count", "2")
    assert (code, told) == (0, {"path": str(path)})
    page = path.read_text(encoding="utf-8")
    _, images = verb(runtime, capsys, "images", key, "--count", "2")
    assert page.count("<article>") == 2
    assert page.count("data-confidence=") == sum(image["detections"] for image in images)
    assert page.count("<g ") == sum(image["detections"] + image["objects"] for image in images)
    assert page.count("data:image/jpeg;base64,") == 4
    code, told = verb(runtime, capsys, "page", key, "--into", str(path))
    assert code == 2
    assert "is there already. Name another file, or add --force." in told


def test_a_layer_that_is_not_there_is_told_before_anything_is_made(
    prefect_harness: None, runtime: Runtime
) -> None:
    with pytest.raises(RecipeError, match=r"there is no layer 5 before the head of tiny\.yaml"):
        detect(PRESET.model_copy(update={"layers": (2, 5)}), runtime)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["page", "some"], "`detections page` wants --into FILE, the HTML file to write."),
        (["show"], "`detections show` wants KEY."),
        (["export", "some"], "wants --into FILE"),
        (["validate", "nowhere.db"], "There is no database nowhere.db"),
        (["images", "some", "--count", "0"], "--count 0: say 1 or more."),
        (["show", "dataset"], "holds no detections: `featuremill detections ls` lists those."),
    ],
)
def test_the_verb_says_what_is_wrong(
    run: Run,
    runtime: Runtime,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    words = [run.made[0].artifact.key if word == "dataset" else word for word in words]
    code, told = verb(runtime, capsys, *words)
    assert code in {1, 2}
    assert says in told
