"""Loss matrices: every image's head against every image's detections, a block of rows at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from conf.dataset import SourceSpec
from conf.errors import FeaturemillError
from conf.keys import ArtifactKey
from conf.losses import LossMatrixRecipe
from conf.runtime import Runtime
from storage.detections import Detections
from storage.detections.schema import connect
from storage.drafts import Making
from storage.losses.parts import Block, RunCard, digests_of, write_part
from storage.losses.reading import Known, LossMatrix
from storage.store import Artifact, ArtifactStore
from tasks.compute.losses.targets import Targets, targets_of
from tasks.dataset import Contents, open_contents
from tasks.declaring import part_task
from tasks.losses.backends import Backend, Columns, backend_of
from tasks.models.devices import enter_lane
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Detector
from tasks.progress import advance
from tasks.stopping import check_not_stopped


def matrix_making(recipe: LossMatrixRecipe, detections: ArtifactKey, rows: Sequence[str]) -> Making:
    """Return the making of the losses between the images `rows` of `detections`."""
    row_bytes = 4 * (5 + 2) * len(rows)
    return Making(recipe, {"detections": detections}, rows, row_bytes=row_bytes)


def pairs_to_compute(
    store: ArtifactStore,
    recipe: LossMatrixRecipe,
    key: ArtifactKey,
    wanted: Sequence[str],
    *,
    take_over: bool = True,
) -> str:
    """Return in words what of the matrix `key` of the images `wanted` is left to compute beside
    older ones, if a run may `take_over`. Moves nothing, also where one of these is damaged."""
    images, all_pairs = set(wanted), len(wanted) ** 2
    if not take_over:
        return f"take_over is off: all {all_pairs:,} pairs are computed"
    older = relatives(store, recipe, key)
    if not older:
        return "another model, size, threshold or backend: every pair is computed"
    kept = 0
    for one in older:
        handle = Artifact(kind=one.kind, key=str(one), rows=0, store=store.uuid)
        with suppress(FeaturemillError):
            kept = max(kept, len(images.intersection(LossMatrix(store, handle).contents)))
    if not kept:
        return f"none of the {len(wanted):,} images was compared before: every pair is computed"
    new = len(wanted) - kept
    return (
        f"{new:,} new image{'' if new == 1 else 's'} beside {kept:,} known: "
        f"{all_pairs - kept**2:,} of {all_pairs:,} pairs are computed, the others taken over"
    )


@part_task
def make_losses(
    recipe: LossMatrixRecipe,
    detections: Artifact,
    *,
    part: str,
    dataset: Artifact,
    source: SourceSpec,
    runtime: Runtime,
) -> int:
    """Seal the rows of `part` against the detections of all images; return how many.

    One image is in memory at a time, and its head is never written. Pairs that an older matrix of
    the same family holds are taken from it.
    """
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    found = Detections(store, detections)
    making = recipe.key(detections=store.key_of(detections))
    draft = store.open_draft(making)
    rows = list(draft.rows_of(part))
    sets = [targets_in(found, content) for content in found.contents]
    digests = np.stack([digest_of(one) for one in sets])
    known = (
        best_known(store, recipe, making, found.contents, digests) if runtime.take_over else None
    )
    layers = tuple(found.manifest.recipe["layers"])  # so that both share one loaded model
    detector = load_detector(recipe.model, runtime, recipe.size_px, layers)
    enter_lane(detector.device, lanes=runtime.workers)
    work = _Rows(detector, sets, recipe, known, open_contents(dataset, source, runtime))
    with draft.write_part(part) as writer, work.open():
        writer.device = detector.device
        block = work.block(rows, str(draft.key), digests, found)
        write_part(writer, block, RunCard(detector.components, run_of(found)))
    return len(rows)


class _Rows:
    """Rows made one after the other: what an older matrix knows is copied, the rest computed."""

    def __init__(
        self,
        detector: Detector,
        sets: Sequence[Targets],
        recipe: LossMatrixRecipe,
        known: Known | None,
        contents: Contents,
    ) -> None:
        self.detector, self.known, self.contents = detector, known, contents
        every = np.arange(len(sets))
        self.missing = every if known is None else np.setdiff1d(every, known.wanted)
        new = [sets[column] for column in self.missing]
        self.whole: Backend = backend_of(recipe.backend, detector, sets)
        self.rest: Backend = (
            self.whole if known is None else backend_of(recipe.backend, detector, new)
        )

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold what the backends need while rows are made."""
        with self.whole.open(), self.rest.open():
            yield

    def block(
        self, rows: Sequence[str], name: str, digests: NDArray[np.uint8], found: Detections
    ) -> Block:
        """Return the block of `rows`."""
        made = []
        for content in rows:
            check_not_stopped()
            made.append(self._row(content))
            advance(name, 1)
        images = found.images.set_index("content_sha256").loc[list(rows)]
        return Block(
            losses=np.stack([one.losses for one in made], axis=1),
            normalisers=np.stack([one.normalisers for one in made]),
            positives=np.stack([one.positives for one in made]),
            columns=digests_of(found.contents),
            targets=found.images["detections"].to_numpy().astype(np.int32),
            digests=digests,
            sizes_px=images[["height_px", "width_px"]].to_numpy().astype(np.int32),
        )

    def _row(self, content: str) -> Columns:
        held = self.known.matrix.row(content) if self.known else None
        if self.known is None or held is None:
            return self._computed(content, self.whole)
        block, place = held
        count = len(self.missing) + len(self.known)
        components = len(self.detector.components)
        row = Columns(
            np.empty((components, count), np.float32),
            np.empty(count, np.float32),
            np.empty(count, np.int32),
        )
        own = self.known.held
        row.put(self.known.wanted, Columns(
            block.losses[:, place][:, own], block.normalisers[place, own],
            block.positives[place, own],
        ))  # fmt: skip
        if len(self.missing):
            row.put(self.missing, self._computed(content, self.rest))
        return row

    def _computed(self, content: str, backend: Backend) -> Columns:
        boxed = self.detector.letterbox(np.asarray(self.contents.image(content)))
        return backend.row(self.detector.forward(boxed.pixels[None]))


def targets_in(found: Detections, content: str) -> Targets:
    """Return the detections of an image as targets: they are at the model's square already."""
    seen = found.in_square(content)
    return targets_of(seen.boxes_px, seen.class_ids, seen.masks, size_px=found.size_px)


def digest_of(targets: Targets) -> NDArray[np.uint8]:
    """Return the sha256 (32,) of all that targets are."""
    digest = hashlib.sha256(np.ascontiguousarray(targets.boxes_px).tobytes())
    digest.update(targets.class_ids.tobytes())
    if targets.masks is not None:
        digest.update(np.packbits(targets.masks).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def best_known(
    store: ArtifactStore,
    recipe: LossMatrixRecipe,
    key: ArtifactKey,
    contents: Sequence[str],
    digests: NDArray[np.uint8],
) -> Known | None:
    """Return what the published matrix that shares most columns shares; None where none does."""
    artifacts = [found for one in relatives(store, recipe, key) if (found := store.find(one))]
    shared = [LossMatrix(store, found).known(contents, digests) for found in artifacts]
    best = max(shared, key=len, default=None)
    return best if best is not None and len(best) else None


def relatives(
    store: ArtifactStore, recipe: LossMatrixRecipe, key: ArtifactKey
) -> list[ArtifactKey]:
    """Return the published matrices beside `key` whose pairs are interchangeable with its own."""
    return [one for one in store.family(recipe.kind, recipe.family({})) if one != key]


def run_of(found: Detections) -> dict[str, object]:
    """Return the run of these detections as embeddings.db has it, but for its run_id."""
    opened = connect(found.database)
    try:
        row = dict(opened.execute("SELECT * FROM runs").fetchone())
    finally:
        opened.close()
    return {name: value for name, value in row.items() if name != "run_id"}
