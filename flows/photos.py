"""Photographs: ingest, preprocess, features; each stage also alone, ten more cost ten."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow
from prefect.events import DeploymentEventTrigger

from conf.dataset import SourceSpec
from conf.images import ImageRecipe
from conf.labels import LabelRecipe
from conf.load import load_preset
from conf.photos import ExifRecipe, Preset, StandardRecipe
from conf.runtime import Runtime
from conf.sources.photo_batch import Source as BatchSource
from flows.dataset import make_dataset
from flows.images import make_images
from flows.labels import make_labels
from flows.prompts import make_prompts
from flows.quality import (
    make_brisque,
    make_clip_iqa,
    make_noise,
    make_piq_clip_iqa,
    make_quality,
)
from flows.run import Run, Table
from storage.dataset import Ledger
from storage.drafts import Making
from storage.photos.batches import check_batch, dump, plain, read_batch, write_batch, write_if_other
from storage.photos.exports import sweep_exports, write_table
from storage.quality import THUMBNAILS, rows_by_content
from storage.store import Artifact
from tasks.models.identity import WeightsMissing
from tasks.pages.photos import photo_page, photo_table
from tasks.photos import read_exif, standardise
from tasks.photos.batches import (
    Originals,
    changed,
    export_images,
    ingested,
    labels_by_content,
    moved,
    preprocessed,
    standards,
    with_features,
)
from tasks.photos.events import FEATURED, PREPROCESSED, announce
from tasks.photos.features import Scores

Tree = dict[str, Any]
SUFFIX = ".preprocess.json"


class Taken(NamedTuple):
    """A source as the first stage took it up."""

    dataset: Artifact
    ledger: Ledger
    batch: Tree


class Images(NamedTuple):
    """A dataset and where its bytes are read."""

    dataset: Artifact
    ledger: Ledger
    source: SourceSpec


class Seen(NamedTuple):
    """The images that features are made of."""

    standards: Images
    originals: Images


@flow(name="photos", flow_run_name="photos-{preset.stage}-of-{preset.source.source}")
def photos(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Take photos through the stages of `preset`, and export the batch."""
    run = Run("photos", runtime or Runtime())
    make_photos(run, preset)
    return run.close()


def make_photos(run: Run, preset: Preset, prefix: str = "") -> Path:
    """Take photos through the stages of `preset` and return the batch's JSON file."""
    if isinstance(preset.source, BatchSource):
        return _features_of_batch(run, preset, preset.source, prefix)
    folder = preset.out or run.runtime.store / "exports"
    taken = _ingest(run, preset, folder, prefix)
    if preset.stage == "ingest":
        run.act(lambda: _export(folder, taken.batch, ".ingest.json"))
        return _place(folder, taken.batch, ".ingest.json")
    if preset.stage == "features":
        originals = Images(taken.dataset, taken.ledger, preset.source)
        same = {photo["photo_id"]: photo["photo_id"] for photo in taken.batch["artifacts"]}
        batch = taken.batch | {
            "artifacts": [p | {"std_uri": p["original_uri"]} for p in taken.batch["artifacts"]]
        }
        seen = Seen(originals, originals)
        return _finish(run, preset, batch, seen, same, {}, folder, prefix)
    path = _preprocess(run, preset, taken, folder, prefix)
    if preset.stage == "preprocess" or not path.is_file():  # a plan exports nothing
        return path
    originals = Images(taken.dataset, taken.ledger, preset.source)
    return _features_of_batch(run, preset, BatchSource(path=path), prefix, originals)


def _ingest(run: Run, preset: Preset, folder: Path, prefix: str) -> Taken:
    dataset, ledger = make_dataset(run, preset.source, f"{prefix}originals")
    making = Making(ExifRecipe(), {"content": ledger.content}, ledger.contents)
    exif = run.make(f"{prefix}exif", making, read_exif, dataset, source=preset.source)
    batch_id = preset.batch_id or f"batch_{ledger.rows_sha256[:16]}"
    batch = ingested(Originals(ledger, preset.source, run.runtime), exif, batch_id, folder)
    return Taken(dataset, ledger, batch)


def _preprocess(run: Run, preset: Preset, taken: Taken, folder: Path, prefix: str) -> Path:
    recipe = StandardRecipe(max_side_px=preset.max_side_px, jpeg_quality=preset.jpeg_quality)
    making = Making(
        recipe, {"content": taken.ledger.content}, taken.ledger.contents, row_bytes=1 << 21
    )
    name = f"{prefix}standard"
    standard = run.make(name, making, standardise, taken.dataset, source=preset.source)
    batch = preprocessed(taken.batch, standard, run.runtime)
    keys = {"dataset": taken.dataset.key, "standard": standard.key}

    def hand_on() -> None:
        export_images(standard, folder, run.runtime)
        path = _export(folder, batch, SUFFIX)
        announce(PREPROCESSED, batch["batch_id"], keys, str(path), run.runtime)

    run.act(hand_on)
    return _place(folder, batch, SUFFIX)


def _place(folder: Path, batch: Tree, suffix: str) -> Path:
    return folder / f"{batch['batch_id']}{suffix}"


def _export(folder: Path, batch: Tree, suffix: str) -> Path:
    path = _place(folder, batch, suffix)
    write_batch(path, batch)
    return path


def _features_of_batch(
    run: Run, preset: Preset, source: BatchSource, prefix: str, originals: Images | None = None
) -> Path:
    """Make the features of a batch; `originals` are those of one that this run has just made."""
    batch, base = read_batch(source.path), source.base or source.path.absolute().parent
    seen = _seen(run, source, prefix, originals)
    contents, faults = standards(seen.standards.ledger)
    if originals is None:
        faults |= changed(seen.originals.ledger)
    folder = preset.out or base
    batch = moved(batch, base, folder)
    return _finish(run, preset, batch, seen, contents, faults, folder, prefix)


def _seen(run: Run, source: BatchSource, prefix: str, originals: Images | None) -> Seen:
    """Take up the images of a batch; its originals, too, unless they are known."""
    small = source.model_copy(update={"image": "standard"})
    standard = Images(*make_dataset(run, small, f"{prefix}standards"), small)
    if originals is None:
        whole = source.model_copy(update={"image": "original"})
        originals = Images(*make_dataset(run, whole, f"{prefix}originals"), whole)
    return Seen(standard, originals)


def _finish(
    run: Run,
    preset: Preset,
    batch: Tree,
    seen: Seen,
    contents: Mapping[str, str],
    faults: Mapping[str, str],
    folder: Path,
    prefix: str,
) -> Path:
    scores, thumbnails, keys = _make_scores(run, preset, seen, prefix)
    done = with_features(batch, contents, scores, faults)
    path = _place(folder, done, ".json")
    if isinstance(preset.source, BatchSource) and path == preset.source.path.absolute():
        path = _place(folder, done, ".features.json")  # nobody's input is written over
    run.act(lambda: _hand_out(run, preset, done, contents, thumbnails, keys, path))
    return path


def _hand_out(
    run: Run,
    preset: Preset,
    done: Tree,
    contents: Mapping[str, str],
    thumbnails: Mapping[str, bytes],
    keys: Mapping[str, str],
    path: Path,
) -> None:
    sweep_exports(path.parent)
    write_batch(path, done)
    told = plain(done)
    write_table(path.with_suffix(".parquet"), told["artifacts"])
    page = photo_page(told, contents, thumbnails, show_private=preset.show_private)
    write_if_other(path.with_suffix(".html"), page.encode("utf-8", "replace"))
    announce(FEATURED, done["batch_id"], keys, str(path), run.runtime)
    header, cells = photo_table(told["artifacts"])
    run.show(Table(f"Photos of {done['batch_id']}: {path.with_suffix('.html')}", header, cells))


def _make_scores(
    run: Run, preset: Preset, seen: Seen, prefix: str
) -> tuple[Scores, dict[str, bytes], dict[str, str]]:
    model = run.resolve(preset.model)
    prompts = make_prompts(run, model, preset.prompts, f"{prefix}prompts")
    image_recipe = ImageRecipe(model=model)
    images = make_images(run, image_recipe, *seen.standards, f"{prefix}features")
    recipe = LabelRecipe(top=preset.top)
    labels = make_labels(run, recipe, images, prompts, seen.standards.ledger, f"{prefix}labels")
    quality = make_quality(run, *seen.standards, f"{prefix}quality")
    noise = make_noise(run, *seen.originals, f"{prefix}noise")
    made = {"features": images, "labels": labels, "quality": quality, "noise": noise}
    told: dict[str, Tree] = {}
    absent: dict[str, str] = {}
    for score, make in (("brisque", _brisque), ("clip_iqa", _clip_iqa)):
        try:
            made[score], told[score] = make(run, preset, seen, images, quality, prefix)
        except WeightsMissing as missing:
            absent[score] = f"weights missing: {missing}"
    rows = {score: rows_by_content(run.store, made[score]) for score in told}
    scores = Scores(
        quality=rows_by_content(run.store, quality),
        labels=labels_by_content(run.store, labels),
        noise=rows_by_content(run.store, noise),
        brisque=rows.get("brisque", {}),
        clip_iqa=rows.get("clip_iqa", {}),
        brisque_by=told.get("brisque", {"backend": preset.quality.brisque_backend}),
        clip_iqa_by=told.get("clip_iqa", {"backend": preset.quality.clip_iqa_backend}),
        absent=absent,
    )
    small = rows_by_content(run.store, quality, THUMBNAILS)
    keys = {name: artifact.key for name, artifact in made.items()}
    return scores, {content: row["jpeg"] for content, row in small.items()}, keys


def _brisque(
    run: Run, preset: Preset, seen: Seen, images: Artifact, quality: Artifact, prefix: str
) -> tuple[Artifact, Tree]:
    made, recipe = make_brisque(
        run, preset.quality, quality, seen.standards.ledger, f"{prefix}brisque"
    )
    return made, recipe.model_dump()


def _clip_iqa(
    run: Run, preset: Preset, seen: Seen, images: Artifact, quality: Artifact, prefix: str
) -> tuple[Artifact, Tree]:
    settings = preset.quality
    if settings.clip_iqa_backend == "piq":
        name = f"{prefix}clip-iqa"
        made, by_piq = make_piq_clip_iqa(run, settings, *seen.standards, name)
        return made, by_piq.model_dump(mode="json")
    model = run.resolve(preset.model)
    made, recipe = make_clip_iqa(run, settings, model, images, seen.standards.ledger, prefix)
    weights = {"model": f"{model.family}/{model.name}", "weights_sha256": model.sha256}
    return made, recipe.model_dump(mode="json") | {"size": model.preprocessing, **weights}


def process(
    batch: Tree, *, base: Path | None = None, preset: Preset | None = None,
    runtime: Runtime | None = None,
) -> Tree:  # fmt: skip
    """Return `batch` with `features` of every photo; all else is kept as it is.

    Its uris are relative to `base`, by default the working directory. The models are those of
    `preset`, by default of the shipped preset "photos".
    """
    check_batch(batch)
    base = (base or Path.cwd()).absolute()
    preset = preset or Preset.model_validate(load_preset("photos").settings)
    with tempfile.TemporaryDirectory(prefix="featuremill-") as folder:
        path = Path(folder) / "batch.json"
        path.write_text(dump(batch), encoding="utf-8")
        source = BatchSource(path=path, base=base)
        made = photos(preset.model_copy(update={"source": source, "out": Path(folder)}), runtime)
        features = plain(read_batch(Path(folder) / f"{batch['batch_id']}.json"))
    assert made.made, "a run makes something"
    pairs = zip(batch["artifacts"], features["artifacts"], strict=True)
    failed = {"failed": features["failed"]} if "failed" in features else {}
    return batch | {"artifacts": [a | {"features": b["features"]} for a, b in pairs]} | failed


@flow(name="photo-features", flow_run_name="features-of-{path}")
def features_of_batch(path: str, preset: str = "photos", store: str | None = None) -> None:
    """Make the features of the batch JSON at `path`, by the models of a preset.

    The flow of the deployment that `preprocess.completed` starts.
    """
    settings = Preset.model_validate(load_preset(preset).settings)
    runtime = Runtime(store=Path(store)) if store else Runtime()
    photos.fn(settings.model_copy(update={"source": BatchSource(path=Path(path))}), runtime)


def features_trigger(preset: str = "photos") -> DeploymentEventTrigger:
    """Return the trigger that starts `features_of_batch` when a batch was preprocessed."""
    return DeploymentEventTrigger(
        name="features-after-preprocess",
        expect={PREPROCESSED},
        parameters={
            "path": "{{ event.payload.path }}",
            "store": "{{ event.payload.store }}",
            "preset": preset,
        },
    )


def serve_features(preset: str = "photos") -> None:
    """Wait for `preprocess.completed` events, and make the features of their batches."""
    features_of_batch.serve(name="after-preprocess", triggers=[features_trigger(preset)])


def demo_step(run: Run) -> None:
    """Take the sample photographs through all stages."""
    preset = Preset.model_validate(load_preset("sample_photos").settings)
    make_photos(run, preset, "photos-")


FLOW = photos
DEPLOYED = {
    "features_of_batch": {
        "name": "after-preprocess",
        "triggers": [features_trigger().model_dump(mode="json", exclude_unset=True)],
        "concurrency_limit": {"limit": 2, "collision_strategy": "ENQUEUE"},
    }
}
"""What the deployment has that others do not; see flows/deployments.py."""
