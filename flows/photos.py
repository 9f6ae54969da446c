"""Photographs: ingest, preprocess, features; each stage also alone, ten more cost ten."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.load import load_preset
from conf.machine import collector_paused
from conf.photos import ExifRecipe, Preset, StandardRecipe
from conf.runtime import Runtime
from conf.sources.photo_batch import Source as BatchSource
from flows.dataset import make_dataset
from flows.quality import Images, Scored, Seen, make_scores, read_scores
from flows.run import PLANNER, Run, Table
from storage.drafts import Making
from storage.photos.batches import (
    check_batch,
    holds,
    plain,
    read_batch,
    write_batch,
    write_if_other,
)
from storage.photos.exports import sweep_exports, write_table
from storage.store import Artifact
from tasks.declaring import flow
from tasks.pages.photos import photo_page, photo_table
from tasks.photos import read_exif, standardise
from tasks.photos.batches import (
    JPEGS,
    Originals,
    changed,
    export_images,
    in_store,
    ingested,
    moved,
    preprocessed,
    ranked,
    standards,
    table_rows,
    with_features,
)
from tasks.photos.events import FEATURED, PREPROCESSED, announce

if TYPE_CHECKING:
    from prefect.events import DeploymentEventTrigger

Tree = dict[str, Any]
SUFFIX = ".preprocess.json"


@flow(name="photos", flow_run_name="photos-{preset.stage}-of-{preset.source.source}")
def photos(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Take photos through the stages of `preset`, and export the batch."""
    run = Run("photos", runtime or Runtime())
    make_photos(run, preset)
    return run.close()


def make_photos(run: Run, preset: Preset, prefix: str = "") -> None:
    """Take photos through the stages of `preset`, and export the batch.

    What only an export needs is read there: a plan, which exports nothing, has nothing to read yet.
    """
    if isinstance(preset.source, BatchSource):
        _features_of_batch(run, preset, preset.source, prefix)
        return
    folder = preset.out or run.runtime.store / "exports"
    originals = Images(*make_dataset(run, preset.source, f"{prefix}originals"), preset.source)
    exif = _ingest(run, originals, prefix)
    taken_up = partial(_batch, run, preset, originals, exif, folder)
    if preset.stage == "features":
        same = {content: content for content in originals.ledger.contents}
        whole = Seen(originals, originals)
        _finish(run, preset, lambda: _as_they_are(taken_up()), whole, same, {}, folder, prefix)
        return
    standard = _standardise(run, preset, originals, prefix)

    @collector_paused()
    def done() -> Tree:
        batch = ranked(taken_up(), standard, run.runtime)
        return batch if preset.stage == "ingest" else preprocessed(batch, standard, run.runtime)

    if preset.stage == "ingest":
        run.act(lambda: _hand_on(run, folder, done(), standard, ("ranking",), ".ingest.json"))
        return
    keys = {"dataset": originals.dataset.key, "standard": standard.key}
    goes_on = preset.stage == "all"

    def hand_on(batch: Tree) -> None:
        _hand_on(run, folder, batch, standard, JPEGS, SUFFIX)
        path = str(_place(folder, batch, SUFFIX))
        announce(PREPROCESSED, batch["batch_id"], keys, path, run.runtime, goes_on=goes_on)

    if not goes_on:
        run.act(lambda: hand_on(done()))
        return
    batch = done()
    run.act(lambda: hand_on(batch))
    with _as_source(run, _place(folder, batch, SUFFIX), batch, standard) as source:
        _features_of_batch(run, preset, source, prefix, originals, folder)


def _ingest(run: Run, originals: Images, prefix: str) -> Artifact:
    ledger = originals.ledger
    making = Making(ExifRecipe(), {"content": ledger.content}, ledger.contents)
    return run.make(f"{prefix}exif", making, read_exif, originals.dataset, source=originals.source)


def _standardise(run: Run, preset: Preset, originals: Images, prefix: str) -> Artifact:
    """Return the upright and the standard JPEGs: one decoding gives both, so that ingest, which
    hands on the first, spares preprocess the work."""
    recipe = StandardRecipe(max_side_px=preset.max_side_px, jpeg_quality=preset.jpeg_quality)
    ledger = originals.ledger
    making = Making(recipe, {"content": ledger.content}, ledger.contents, row_bytes=1 << 21)
    return run.make(
        f"{prefix}standard", making, standardise, originals.dataset, source=originals.source
    )


def _batch(run: Run, preset: Preset, originals: Images, exif: Artifact, folder: Path) -> Tree:
    batch_id = preset.batch_id or f"batch_{originals.ledger.rows_sha256[:16]}"
    places = Originals(originals.ledger, preset.source, run.runtime)
    return ingested(places, exif, batch_id, folder)


def _as_they_are(batch: Tree) -> Tree:
    photos = [photo | {"std_uri": photo["original_uri"]} for photo in batch["artifacts"]]
    return batch | {"artifacts": photos}


def _hand_on(
    run: Run,
    folder: Path,
    batch: Tree,
    standard: Artifact,
    jpegs: Sequence[str],
    suffix: str,
) -> None:
    export_images(standard, folder, run.runtime, jpegs)
    write_batch(_place(folder, batch, suffix), batch)


@contextmanager
def _as_source(run: Run, path: Path, batch: Tree, standard: Artifact) -> Iterator[BatchSource]:
    """Yield the batch that was exported to `path`; in a plan, which exports nothing, one that names
    the images in the store, unless an earlier run has exported the very same."""
    if not PLANNER.get() or holds(path, batch):
        yield BatchSource(path=path)
        return
    with tempfile.TemporaryDirectory(prefix="featuremill-plan-") as folder:
        here = Path(folder) / path.name
        write_batch(here, in_store(batch, standard, run.runtime))
        yield BatchSource(path=here, base=run.store.path)


def _place(folder: Path, batch: Tree, suffix: str) -> Path:
    return folder / f"{batch['batch_id']}{suffix}"


def _features_of_batch(
    run: Run,
    preset: Preset,
    source: BatchSource,
    prefix: str,
    originals: Images | None = None,
    out: Path | None = None,
) -> None:
    """Make the features of a batch; `originals` are those of one that this run has just made."""
    batch, base = read_batch(source.path), source.base or source.path.absolute().parent
    seen = _seen(run, source, prefix, originals)
    contents, faults = standards(seen.standards.ledger)
    if originals is None:
        faults |= changed(seen.originals.ledger)
    folder = out or preset.out or base
    here = partial(moved, batch, base, folder)
    _finish(run, preset, here, seen, contents, faults, folder, prefix)


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
    batch: Callable[[], Tree],
    seen: Seen,
    contents: Mapping[str, str],
    faults: Mapping[str, str],
    folder: Path,
    prefix: str,
) -> None:
    scored = make_scores(run, preset, seen, prefix)
    run.act(lambda: _hand_out(run, preset, scored, batch(), contents, faults, folder))
    run.leave_out(scored.absent)


@collector_paused()  # a batch is dictionaries by the ten thousand
def _hand_out(
    run: Run,
    preset: Preset,
    scored: Scored,
    batch: Tree,
    contents: Mapping[str, str],
    faults: Mapping[str, str],
    folder: Path,
) -> None:
    path = _place(folder, batch, ".json")
    if isinstance(preset.source, BatchSource) and path == preset.source.path.absolute():
        path = _place(folder, batch, ".features.json")  # nobody's input is written over
    scores, thumbnails = read_scores(run, scored)
    done = with_features(batch, contents, scores, faults)
    sweep_exports(path.parent)
    write_batch(path, done)
    told = plain(done)
    write_table(path.with_suffix(".parquet"), table_rows(told))
    page = photo_page(told, contents, thumbnails, show_private=preset.show_private)
    write_if_other(path.with_suffix(".html"), page.encode("utf-8", "replace"))
    keys = {name: artifact.key for name, artifact in scored.made.items()}
    announce(FEATURED, done["batch_id"], keys, str(path), run.runtime)
    header, cells = photo_table(told["artifacts"])
    run.show(Table(f"Photos of {done['batch_id']}: {path.with_suffix('.html')}", header, cells))


def process(
    batch: Tree, *, base: Path | None = None, preset: Preset | None = None,
    runtime: Runtime | None = None,
) -> Tree:  # fmt: skip
    """Return `batch` with `features` of every photo; all else is kept as it is.

    Its uris are relative to `base`, by default the working directory. The models are those of
    `preset`, by default of the shipped preset "photos". The batch is exported, too, with its table
    and its page: where `preset.out` says, or to `exports` in the store.
    """
    check_batch(batch)
    base = (base or Path.cwd()).absolute()
    preset = preset or Preset.model_validate(load_preset("photos").settings)
    folder = preset.out or (runtime or Runtime()).store / "exports"
    with tempfile.TemporaryDirectory(prefix="featuremill-") as given:
        path = Path(given) / "batch.json"
        write_batch(path, batch)
        source = BatchSource(path=path, base=base)
        photos(preset.model_copy(update={"source": source, "out": folder}), runtime)
    features = plain(read_batch(_place(folder, batch, ".json")))
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


TRIGGER: dict[str, Any] = {
    "match": {"prefect.resource.id": "!featuremill.run.*"},
    "expect": [PREPROCESSED],
    "name": "features-after-preprocess",
    "parameters": {"path": "{{ event.payload.path }}", "store": "{{ event.payload.store }}"},
}
"""What starts `features_of_batch` when a batch was preprocessed, unless the run that did it goes on
to the features itself."""


def features_trigger() -> "DeploymentEventTrigger":
    """Return TRIGGER as Prefect's `serve` takes it."""
    from prefect.events import DeploymentEventTrigger

    return DeploymentEventTrigger.model_validate(TRIGGER)


def serve_features(preset: str = "photos") -> None:
    """Wait for `preprocess.completed` events, and make the features of their batches by the models
    of `preset`."""
    features_of_batch.serve(
        name="after-preprocess", triggers=[features_trigger()], parameters={"preset": preset}
    )


def demo_step(run: Run) -> None:
    """Take the sample photographs through all stages."""
    preset = Preset.model_validate(load_preset("sample_photos").settings)
    make_photos(run, preset, "photos-")


FLOW = photos
DEPLOYED = {
    "features_of_batch": {
        "name": "after-preprocess",
        "parameters": {"preset": "photos"},
        "triggers": [TRIGGER],
        "concurrency_limit": {"limit": 2, "collision_strategy": "ENQUEUE"},
    }
}
"""What the deployment has that others do not; see flows/deployments.py."""
