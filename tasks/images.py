"""Images: encode the contents of a part, decoding and preprocessing overlapped with the model."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from conf.dataset import SourceSpec
from conf.images import ImageRecipe
from conf.runtime import Runtime
from storage.dataset import Ledger
from storage.drafts import Draft
from storage.images import ImageFeatures, read_part_row, write_part
from storage.store import Artifact, ArtifactStore
from tasks.compute.images import FeatureBuffers, check_same_feature
from tasks.compute.neighbours import neighbour_accuracy as knn
from tasks.dataset import Contents, open_contents
from tasks.declaring import part_task
from tasks.lanes import run_lanes, spans, tapered
from tasks.models.load import enter_lane, load_encoder
from tasks.models.protocols import Float32, ImageTextEncoder
from tasks.progress import advance
from tasks.stopping import check_not_stopped


@part_task
def encode_part(
    recipe: ImageRecipe, dataset: Artifact, *, part: str, source: SourceSpec, runtime: Runtime
) -> int:
    """Seal the features of the image contents of `part`, and return how many those are.

    `source` says where the bytes of `dataset` are read; bytes that differ from its ledger are
    refused.
    """
    check_not_stopped()
    contents = open_contents(dataset, source, runtime)
    draft = _draft(recipe, contents, runtime)
    wanted = draft.rows_of(part)
    encoder = load_encoder(recipe.model, runtime)
    with draft.write_part(part) as writer:
        writer.device = encoder.device
        rows = _encode(recipe, encoder, contents, wanted, runtime, name=str(draft.key))
        write_part(writer, wanted, rows.pooled, rows.tokens, encoder.fingerprint)
    return len(wanted)


def _draft(recipe: ImageRecipe, contents: Contents, runtime: Runtime) -> Draft:
    return ArtifactStore(runtime.store).open_draft(recipe.key(content=contents.ledger.content))


def _encode(
    recipe: ImageRecipe,
    encoder: ImageTextEncoder,
    contents: Contents,
    wanted: Sequence[str],
    runtime: Runtime,
    name: str,
) -> FeatureBuffers:
    shape = (encoder.token_count, encoder.token_dim) if recipe.tokens else None
    rows = FeatureBuffers.empty(len(wanted), encoder.dim, shape)

    def encode_batch(span: slice) -> None:
        pixels = _pixels(encoder, contents, wanted[span])
        encoded = encoder.encode_images(pixels, tokens=recipe.tokens)
        rows.put(span, encoded.pooled, encoded.tokens)
        advance(name, span.stop - span.start)

    run_lanes(
        encode_batch,
        _batches(encoder, len(wanted), runtime),
        lanes=runtime.lanes,
        on_enter=lambda: enter_lane(encoder.device, lanes=runtime.lanes),
    )
    return rows


def _batches(encoder: ImageTextEncoder, rows: int, runtime: Runtime) -> list[slice]:
    if encoder.device == "cpu":
        return tapered(rows, runtime.batch_size, runtime.lanes)
    return spans(rows, runtime.batch_size)  # an accelerator waits for no lane, and wants them large


def _pixels(encoder: ImageTextEncoder, contents: Contents, wanted: Sequence[str]) -> Float32:
    return np.stack([encoder.preprocess(contents.image(content)) for content in wanted])


@part_task
def check_stored_rows(
    recipe: ImageRecipe, dataset: Artifact, *, source: SourceSpec, runtime: Runtime
) -> int:
    """Encode the first row of the oldest and of the newest part again, and return how many rows
    agreed.

    Called once in a run that made parts, before they are published. A part that an older run or
    artifact left, encoded by another library, preprocessing or precision than this process has,
    does not agree; nor do patch-token passes whose pooled feature is not the one of
    `encode_images`.
    """
    contents = open_contents(dataset, source, runtime)
    draft = _draft(recipe, contents, runtime)
    encoder = load_encoder(recipe.model, runtime)
    enter_lane(encoder.device)
    markers = list(draft.sealed().values())
    chosen = {marker.part: marker for marker in (markers[0], markers[-1])}
    for marker in chosen.values():
        stored = read_part_row(draft.parts / marker.part, 0)
        again = encoder.encode_images(_pixels(encoder, contents, marker.rows[:1])).pooled[0]
        check_same_feature(again, stored, recipe.model.precision, marker.part)
    return len(chosen)


class NeighbourAccuracy(NamedTuple):
    """What a vote of the nearest neighbours gets right."""

    accuracy: float
    """The share, in [0, 1], of held-out rows named rightly."""
    held_out: int
    """How many rows were held out."""
    chance: float
    """The share that naming every row by the most frequent label would get right."""


def neighbour_accuracy(
    features: Artifact, ledger: Ledger, *, runtime: Runtime, neighbours: int = 5
) -> NeighbourAccuracy:
    """Return how well the stored features tell the labels of split "test" by those of "train"."""
    frame = ledger.frame()
    frame = frame[(frame["status"] == "ok") & (frame["label"] >= 0)]
    train, test = (frame[frame["split"] == split] for split in ("train", "test"))
    reader = ImageFeatures(ArtifactStore(runtime.store), features)
    rows = [reader.pooled(part["sha256"].tolist()).astype(np.float32) for part in (train, test)]
    labels = [part["label"].to_numpy(np.int64) for part in (train, test)]
    accuracy = knn(rows[0], labels[0], rows[1], labels[1], neighbours)
    return NeighbourAccuracy(accuracy, len(test), float(np.bincount(labels[1]).max() / len(test)))
