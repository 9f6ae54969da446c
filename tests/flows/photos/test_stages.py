"""Flow `photos`: stages, failures, what more photos cost, and what is kept of a batch."""

import hashlib
import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest
from PIL import Image
from prefect.events import Resource, ResourceSpecification

from conf.dataset import SourceSpec
from conf.photos import Preset
from conf.prompts import PromptSet
from conf.runtime import Runtime
from conf.sources.photo_batch import Source as BatchSource
from flows.parts import PartsFailed
from flows.photos import features_trigger, photos, process
from flows.run import Run
from storage.dataset import Ledger
from storage.photos.batches import BatchInvalid
from tasks.checkpoint import look_task
from tasks.dataset import scan_source

Events = list[dict[str, Any]]
Exported = Callable[..., dict[str, Any]]
Make = Callable[..., Run]
Presets = Callable[..., Preset]


def starts_features(event: dict[str, Any]) -> bool:
    """Whether the deployment's trigger expects this event."""
    trigger = features_trigger()
    match = ResourceSpecification.model_validate(trigger.match)
    fits = match.matches(Resource.model_validate(event["resource"]))
    return fits and event["event"] in trigger.expect


@pytest.mark.usefixtures("prefect_harness")
def test_a_batch_has_every_field_of_the_pipeline(
    folder: Path, preset: Presets, runtime: Runtime, exported: Exported, events: Events
) -> None:
    photos(preset(), runtime)
    batch = exported()
    by_name = {os.path.basename(p["original_uri"]): p for p in batch["artifacts"]}
    assert len(by_name) == 4
    turned = by_name["turned.jpg"]
    assert list(turned) == [
        "photo_id", "original_uri", "ranking_uri", "std_uri", "exif", "format",
        "processing_metadata", "features",
    ]  # fmt: skip
    assert turned["processing_metadata"] == {
        "original_size": [100, 200],
        "standardized_size": [32, 64],
        "processing_method": "quality_preserved",
    }
    assert turned["exif"] == {
        "camera": "Maker<b>", "lens": "Unknown", "iso": None, "aperture": "Unknown",
        "shutter_speed": "Unknown", "focal_length": "Unknown", "datetime": "Unknown", "gps": None,
    }  # fmt: skip
    assert turned["format"] == ".jpg"
    out = folder.parent / "out"
    assert turned["std_uri"] == f"./rankingInput/{turned['photo_id']}_64.jpg"
    assert turned["ranking_uri"] == f"./rankingInput/{turned['photo_id']}.jpg"
    with Image.open(out / turned["ranking_uri"]) as upright:
        assert upright.size == (100, 200)
    assert (out / by_name["a.jpg"]["ranking_uri"]).read_bytes() == (folder / "a.jpg").read_bytes()
    original = (out / turned["original_uri"]).read_bytes()
    assert hashlib.sha256(original).hexdigest() == turned["photo_id"]
    assert [os.path.basename(uri) for uri in by_name["a.jpg"]["duplicates"]] == ["z-copy.jpg"]
    tech = turned["features"]["tech"]
    assert list(tech) == ["sharpness", "exposure", "noise", "clip_iqa", "brisque"]
    assert all(0 <= value <= 1 for value in tech.values())
    labels = turned["features"]["clip_labels"]
    assert [list(label) for label in labels] == [["label", "confidence", "cosine_score"]] * 2
    assert labels[0]["confidence"] >= labels[1]["confidence"]
    (failed,) = batch["failed"]
    assert failed["original_uri"].endswith("broken.jpg")
    assert failed["stage"] == "ingest"
    table = pd.read_parquet(next(out.glob("*.parquet"))).set_index("photo_id")
    assert len(table) == 5
    assert table["failed.reason"][failed["photo_id"]] == failed["reason"]
    assert table["features.tech.sharpness"][turned["photo_id"]] == tech["sharpness"]
    assert [*table["processing_metadata.original_size"][turned["photo_id"]]] == [100, 200]
    assert [e["event"] for e in events] == ["preprocess.completed", "features.completed"]
    assert events[0]["payload"]["batch_id"] == batch["batch_id"]
    assert not starts_features(events[0]), "the run itself goes on to the features"


def test_ingest_alone_hands_on_the_upright_original_and_spares_preprocess_the_work(
    folder: Path, preset: Presets, make: Make, exported: Exported, events: Events
) -> None:
    (folder / "no file.jpg").mkdir()
    make(preset(stage="ingest"))
    batch = exported("ingest")
    failed = [failure["original_uri"] for failure in batch["failed"]]
    assert failed == ["../photos/broken.jpg", "../photos/no file.jpg"]
    fields = ["photo_id", "original_uri", "ranking_uri", "exif", "format"]
    assert {tuple(photo)[:5] for photo in batch["artifacts"]} == {tuple(fields)}
    names = {path.name for path in (folder.parent / "out" / "rankingInput").iterdir()}
    assert names == {f"{photo['photo_id']}.jpg" for photo in batch["artifacts"]}
    assert events == []
    again = make(preset(stage="preprocess"))
    assert {one.state for one in again.made} == {"Cached"}
    (event,) = events
    assert event["event"] == "preprocess.completed"
    assert starts_features(event)


def test_an_unchanged_batch_is_cached_and_more_photos_cost_only_themselves(
    folder: Path, preset: Presets, make: Make, events: Events, write: Callable[..., Path]
) -> None:
    make(preset())
    again = make(preset())
    assert {made.state for made in again.made} == {"Cached"}
    assert events[0]["id"] == events[2]["id"]
    assert events[1]["id"] == events[3]["id"]
    write(folder / "new.jpg", 77)
    more = make(preset())
    made = {one.name: one.rows_made for one in more.made}
    assert [made[n] for n in ("exif", "standard", "features", "quality")] == [1, 1, 1, 1]
    other = PromptSet(templates=("a {}",), vocabulary=("sea", "city", "lake"))
    relabelled = make(preset(prompts=other))
    states = {one.name: one.state for one in relabelled.made}
    assert states["features"] == "Cached"
    assert states["labels"] == "Completed"


def test_a_batch_from_elsewhere_keeps_what_it_says_and_names_what_is_wrong(
    folder: Path,
    preset: Presets,
    make: Make,
    runtime: Runtime,
    exported: Exported,
    write: Callable[..., Path],
) -> None:
    made = make(preset(stage="preprocess"))
    assert [one.name for one in made.made] == ["originals", "exif", "standard"]
    (path,) = (folder.parent / "out").glob("*.preprocess.json")
    text = path.read_text().replace('"format": ".jpg"', '"format": ".jpg", "mine": 1.10')
    path.write_text(text)
    write(folder / "sub" / "b.jpg", 1234)  # changed between the stages
    (folder / "turned.jpg").unlink()  # deleted between the stages
    trusted = runtime.model_copy(update={"roots": (folder,)})
    source = BatchSource(path=path)
    make(preset(out=None, source=source), trusted)
    batch = exported()
    assert "1.10" in next((folder.parent / "out").glob("batch_*[0-9a-f].json")).read_text()
    before = {p["photo_id"]: p for p in json.loads(text)["artifacts"]}
    for photo in batch["artifacts"]:
        features = photo.pop("features")
        assert photo == before[photo["photo_id"]]
        assert (features["tech"]["sharpness"] is None) == ("missing" in features)
    reasons = {os.path.basename(f["original_uri"]): f["reason"] for f in batch["failed"]}
    assert reasons["b.jpg"].startswith("changed: the original's content is")
    assert reasons["turned.jpg"].startswith("original gone")
    make(preset(out=None, source=source), runtime)
    faults = {f["reason"].partition(":")[0] for f in exported()["failed"]}
    assert "original outside the roots" in faults


@pytest.mark.usefixtures("prefect_harness")
def test_a_photo_that_is_gone_when_its_turn_comes_is_reported_and_the_next_run_goes_on(
    folder: Path, preset: Presets, make: Make, runtime: Runtime, exported: Exported
) -> None:
    @look_task
    def scan_then_delete(source: SourceSpec, *, runtime: Runtime) -> Ledger:
        ledger = scan_source.fn(source, runtime=runtime)
        (folder / "turned.jpg").unlink(missing_ok=True)
        return ledger

    with (
        patch("flows.dataset.scan_source", scan_then_delete),
        pytest.raises(PartsFailed, match=r"turned\.jpg.*gone.*run the same command"),
    ):
        photos(preset(), runtime)
    make(preset())
    assert len(exported()["artifacts"]) == 3


def test_a_flat_photo_has_nulls_with_reasons_and_harms_no_other(
    folder: Path, preset: Presets, make: Make, exported: Exported
) -> None:
    out = BytesIO()
    Image.new("RGB", (90, 90), (0, 0, 0)).save(out, "PNG")
    (folder / "flat.png").write_bytes(out.getvalue())
    Image.new("RGB", (1, 1), (9, 9, 9)).save(folder / "tiny.png")
    make(preset())
    by_name = {os.path.basename(p["original_uri"]): p["features"] for p in exported()["artifacts"]}
    for name in ("flat.png", "tiny.png"):
        missing = by_name[name].pop("missing")
        assert set(missing) == {"sharpness", "exposure", "noise", "sigma", "brisque"}
        assert {reason.partition(":")[0] for reason in missing.values()} == {"flat"}
    assert by_name["a.jpg"]["tech"]["brisque"] is not None


@pytest.mark.usefixtures("prefect_harness")
def test_process_returns_the_batch_it_was_given_with_features(
    folder: Path, preset: Presets, runtime: Runtime, events: Events
) -> None:
    content = hashlib.sha256((folder / "a.jpg").read_bytes()).hexdigest()
    photo = {"photo_id": content, "original_uri": "./a.jpg", "std_uri": "./a.jpg", "mine": [1, {}]}
    batch = {"batch_id": "b1", "artifacts": [photo], "note": None}
    done = process(batch, base=folder, preset=preset(), runtime=runtime)
    assert done["artifacts"][0] | {"features": None} == photo | {"features": None}
    assert done["artifacts"][0]["features"]["tech"]["sharpness"] > 0
    assert {name: done[name] for name in ("batch_id", "note")} == {"batch_id": "b1", "note": None}
    (event,) = events
    assert event["event"] == "features.completed"
    exported = json.loads(Path(event["payload"]["path"]).read_text())
    assert exported["artifacts"][0]["features"] == done["artifacts"][0]["features"]
    with pytest.raises(BatchInvalid, match="photo_id"):
        process({"batch_id": "b1", "artifacts": [{"photo_id": "x"}]}, runtime=runtime)


def test_features_of_a_plain_folder_need_no_batch(
    preset: Presets, make: Make, exported: Exported
) -> None:
    make(preset(stage="features"))
    batch = exported()
    assert len(batch["artifacts"]) == 4
    assert batch["artifacts"][0]["std_uri"] == batch["artifacts"][0]["original_uri"]
    assert batch["artifacts"][0]["features"]["tech"]["sharpness"] is not None
