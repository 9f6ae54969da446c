"""Flow `photos`: stages, failures, what more photos cost, and what is kept of a batch."""

import hashlib
import json
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from conf.models import ModelSpec
from conf.photos import Preset
from conf.prompts import PromptSet
from conf.quality import QualitySettings
from conf.runtime import Runtime
from conf.sources.folder import Source
from conf.sources.photo_batch import Source as BatchSource
from flows.parts import PartsFailed
from flows.photos import features_trigger, photos, process
from flows.run import Run
from storage.photos.batches import BatchInvalid
from tasks.photos.events import PREPROCESSED

pytestmark = pytest.mark.usefixtures("prefect_harness")

WORDS = PromptSet(templates=("a {}",), vocabulary=("sea", "city", "sky"))
HOSTILE = "a<script>\"'%{x}\n\u202egpj" + "A" * 150 + ".jpg"


def write(path: Path, seed: int, *, size: tuple[int, int] = (120, 80), turned: int = 1) -> Path:
    """Write a noisy JPEG whose upright size is `size`."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = turned, "Maker<b>"
    stored = size[::-1] if turned == 6 else size
    pixels = np.random.default_rng(seed).integers(0, 256, (stored[1], stored[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", exif=exif, quality=90)
    os.utime(path, (1, 1))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four photos, one of them twice, one hostile by name, one turned, and one
    that is broken."""
    for number, name in enumerate(("a.jpg", HOSTILE, "sub/b.jpg")):
        write(tmp_path / "photos" / name, number)
    write(tmp_path / "photos" / "turned.jpg", 9, size=(100, 200), turned=6)
    (tmp_path / "photos" / "z-copy.jpg").write_bytes((tmp_path / "photos" / "a.jpg").read_bytes())
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "photos"


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """Return the events that are sent."""
    sent: list[dict[str, Any]] = []

    def send(event: str, **given: Any) -> None:
        sent.append({"event": event, **given})

    with patch("prefect.events.emit_event", send):
        yield sent


def preset(folder: Path, toy: ModelSpec, **changes: Any) -> Preset:
    settings: dict[str, Any] = {"max_side_px": 64, "out": folder.parent / "out", "top": 2} | changes
    return Preset(source=Source(root=folder), model=toy, prompts=WORDS, **settings)


def exported(run: Run, folder: Path) -> dict[str, Any]:
    """Return the one batch below `folder.parent / "out"`."""
    names = [p for p in (folder.parent / "out").glob("*.json") if ".preprocess" not in p.name]
    (path,) = names
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_batch_has_every_field_of_the_pipeline(
    folder: Path, toy: ModelSpec, runtime: Runtime, events: list[dict[str, Any]]
) -> None:
    batch = exported(photos(preset(folder, toy), runtime), folder)
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
    assert turned["exif"]["camera"] == "Maker<b>"
    out = folder.parent / "out"
    assert turned["std_uri"] == f"./rankingInput/{turned['photo_id']}_64.jpg"
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
    table = pd.read_parquet(next(out.glob("*.parquet")))
    assert len(table) == 4
    assert "features.tech.sharpness" in table
    assert [e["event"] for e in events] == ["preprocess.completed", "features.completed"]
    assert events[0]["payload"]["batch_id"] == batch["batch_id"]


def test_an_unchanged_batch_is_cached_and_more_photos_cost_only_themselves(
    folder: Path, toy: ModelSpec, runtime: Runtime, events: list[dict[str, Any]]
) -> None:
    photos(preset(folder, toy), runtime)
    again = photos(preset(folder, toy), runtime)
    assert {made.state for made in again.made} == {"Cached"}
    assert events[0]["id"] == events[2]["id"]
    assert events[1]["id"] == events[3]["id"]
    write(folder / "new.jpg", 77)
    more = photos(preset(folder, toy), runtime)
    made = {one.name: one.rows_made for one in more.made}
    assert [made[n] for n in ("exif", "standard", "features", "quality")] == [1, 1, 1, 1]
    other = PromptSet(templates=("a {}",), vocabulary=("sea", "city", "lake"))
    relabelled = photos(preset(folder, toy).model_copy(update={"prompts": other}), runtime)
    states = {one.name: one.state for one in relabelled.made}
    assert states["features"] == "Cached"
    assert states["labels"] == "Completed"


def test_a_batch_from_elsewhere_keeps_what_it_says_and_names_what_is_wrong(
    folder: Path, toy: ModelSpec, runtime: Runtime
) -> None:
    made = photos(preset(folder, toy, stage="preprocess"), runtime)
    assert [one.name for one in made.made] == ["originals", "exif", "standard"]
    (path,) = (folder.parent / "out").glob("*.preprocess.json")
    text = path.read_text().replace('"format": ".jpg"', '"format": ".jpg", "mine": 1.10')
    path.write_text(text)
    write(folder / "sub" / "b.jpg", 1234)  # changed between the stages
    (folder / "turned.jpg").unlink()  # deleted between the stages
    trusted = runtime.model_copy(update={"roots": (folder,)})
    source = BatchSource(path=path)
    run = photos(preset(folder, toy, out=None).model_copy(update={"source": source}), trusted)
    batch = exported(run, folder)
    assert "1.10" in next((folder.parent / "out").glob("batch_*[0-9a-f].json")).read_text()
    before = {p["photo_id"]: p for p in json.loads(text)["artifacts"]}
    for photo in batch["artifacts"]:
        features = photo.pop("features")
        assert photo == before[photo["photo_id"]]
        assert (features["tech"]["sharpness"] is None) == ("missing" in features)
    reasons = {os.path.basename(f["original_uri"]): f["reason"] for f in batch["failed"]}
    assert reasons["b.jpg"].startswith("changed: the original's content is")
    assert reasons["turned.jpg"].startswith("original gone")
    outside = photos(preset(folder, toy, out=None).model_copy(update={"source": source}), runtime)
    faults = {f["reason"].partition(":")[0] for f in exported(outside, folder)["failed"]}
    assert "original outside the roots" in faults


def test_a_photo_that_is_gone_when_its_turn_comes_is_reported_and_the_next_run_goes_on(
    folder: Path, toy: ModelSpec, runtime: Runtime
) -> None:
    from tasks import dataset

    real = dataset.scan_source.fn

    def scan_then_delete(*given: Any, **named: Any) -> Any:
        ledger = real(*given, **named)
        (folder / "turned.jpg").unlink(missing_ok=True)
        return ledger

    with (
        patch("flows.dataset.scan_source", scan_then_delete),
        pytest.raises(PartsFailed, match=r"turned\.jpg.*gone.*run the same command"),
    ):
        photos(preset(folder, toy), runtime)
    assert len(exported(photos(preset(folder, toy), runtime), folder)["artifacts"]) == 3


def test_missing_weights_leave_one_score_null_with_the_reason(
    folder: Path, toy: ModelSpec, runtime: Runtime
) -> None:
    quality = QualitySettings(brisque_backend="piq", brisque_weights=folder / "none.pt")
    batch = exported(photos(preset(folder, toy, quality=quality), runtime), folder)
    features = batch["artifacts"][0]["features"]
    assert features["tech"]["brisque"] is None
    assert features["tech"]["sharpness"] is not None
    assert features["missing"]["brisque"].startswith("weights missing: ")
    assert features["tech_raw"]["brisque"]["backend"] == "piq"


def test_a_flat_photo_has_nulls_with_reasons_and_harms_no_other(
    folder: Path, toy: ModelSpec, runtime: Runtime
) -> None:
    out = BytesIO()
    Image.new("RGB", (90, 90), (0, 0, 0)).save(out, "PNG")
    (folder / "flat.png").write_bytes(out.getvalue())
    batch = exported(photos(preset(folder, toy), runtime), folder)
    by_name = {os.path.basename(p["original_uri"]): p["features"] for p in batch["artifacts"]}
    missing = by_name["flat.png"].pop("missing")
    assert set(missing) == {"sharpness", "exposure", "noise", "sigma", "brisque"}
    assert missing["brisque"].startswith("flat")
    assert by_name["a.jpg"]["tech"]["brisque"] is not None


def test_process_returns_the_batch_it_was_given_with_features(
    folder: Path, toy: ModelSpec, runtime: Runtime
) -> None:
    content = hashlib.sha256((folder / "a.jpg").read_bytes()).hexdigest()
    photo = {"photo_id": content, "original_uri": "./a.jpg", "std_uri": "./a.jpg", "mine": [1, {}]}
    batch = {"batch_id": "b1", "artifacts": [photo], "note": None}
    done = process(batch, base=folder, preset=preset(folder, toy), runtime=runtime)
    assert done["artifacts"][0] | {"features": None} == photo | {"features": None}
    assert done["artifacts"][0]["features"]["tech"]["sharpness"] > 0
    assert {name: done[name] for name in ("batch_id", "note")} == {"batch_id": "b1", "note": None}
    with pytest.raises(BatchInvalid, match="photo_id"):
        process({"batch_id": "b1", "artifacts": [{"photo_id": "x"}]}, runtime=runtime)


def test_features_of_a_plain_folder_need_no_batch(
    folder: Path, toy: ModelSpec, runtime: Runtime
) -> None:
    batch = exported(photos(preset(folder, toy, stage="features"), runtime), folder)
    assert len(batch["artifacts"]) == 4
    assert batch["artifacts"][0]["std_uri"] == batch["artifacts"][0]["original_uri"]
    assert batch["artifacts"][0]["features"]["tech"]["sharpness"] is not None


def test_the_trigger_starts_features_when_a_batch_was_preprocessed() -> None:
    trigger = features_trigger("sample_photos")
    assert trigger.expect == {PREPROCESSED}
    assert trigger.parameters is not None
    assert trigger.parameters["path"] == "{{ event.payload.path }}"
