"""Detections: one pass of a model over the images of a part gives all that is stored of them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from conf.dataset import SourceSpec
from conf.detections import DetectionRecipe
from conf.errors import FeaturemillError
from conf.keys import ArtifactKey
from conf.runtime import Runtime
from storage.annotations.truth import Annotations
from storage.dataset import Ledger
from storage.detections.parts import Found, content_of, row_of, write_part
from storage.drafts import Making
from storage.store import Artifact, ArtifactStore
from tasks.dataset import Contents, open_contents
from tasks.declaring import part_task
from tasks.detections.looking import Looker
from tasks.detections.truths import open_annotations, truth_digest
from tasks.lanes import run_lanes, spans, tapered
from tasks.models.load import enter_lane
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Detector, Raw
from tasks.progress import advance
from tasks.stopping import check_not_stopped

if TYPE_CHECKING:
    import torch

Maps = NDArray[np.float16]
_FLOAT16_END = 65520.0


class FeaturesOverflow(FeaturemillError):
    """A feature map holds numbers that float16 cannot."""


def detection_making(
    recipe: DetectionRecipe,
    ledger: Ledger,
    annotations: ArtifactKey | None = None,
    known: Annotations | None = None,
) -> Making:
    """Return the making of detections in all ok contents of `ledger`."""
    rows = [row_of(content, truth_digest(known, content)) for content in ledger.contents]
    # 64 + 128 + 256 channels of the smallest models at strides 8, 16 and 32, float16.
    row_bytes = recipe.size_px**2 * 7 // 2
    return Making(recipe, inputs_of(ledger, annotations), rows, row_bytes=row_bytes)


def inputs_of(ledger: Ledger, annotations: ArtifactKey | None) -> dict[str, ArtifactKey]:
    """Return the inputs of the detections in `ledger`: one of them may be missing."""
    return {"content": ledger.content} | ({"annotations": annotations} if annotations else {})


@part_task
def detect_part(
    recipe: DetectionRecipe,
    dataset: Artifact,
    *,
    annotations: Artifact | None,
    part: str,
    source: SourceSpec,
    runtime: Runtime,
) -> int:
    """Seal features, detections, losses and metrics of the images of `part`; return how many.

    `source` says where the bytes of `dataset` are read; bytes that differ from its ledger are
    refused.
    """
    check_not_stopped()
    contents, store = open_contents(dataset, source, runtime), ArtifactStore(runtime.store)
    known = open_annotations(annotations, runtime)
    key = store.key_of(annotations) if annotations else None
    draft = store.open_draft(recipe.key(**inputs_of(contents.ledger, key)))
    wanted = [content_of(row) for row in draft.rows_of(part)]
    detector = load_detector(recipe.model, runtime, recipe.size_px, recipe.layers)
    looker = Looker(detector, recipe, known)
    with draft.write_part(part) as writer:
        writer.device = detector.device
        seen = _look(looker, contents, wanted, runtime, name=str(draft.key))
        found = [row for row in seen.found if row is not None]
        write_part(writer, looker.card(), found, seen.gap, seen.maps)
    return len(wanted)


@dataclass
class _Seen:
    """What the lanes fill in: each its own rows."""

    found: list[Found | None]
    gap: list[NDArray[np.float32]] = field(default_factory=list)
    maps: list[Maps] = field(default_factory=list)
    allocating: threading.Lock = field(default_factory=threading.Lock)

    def allocate(self, raw: Raw, layers: Sequence[int]) -> None:
        """Make room for all rows, once it is known how large a map is."""
        with self.allocating:
            if self.maps:
                return
            shapes = [tuple(raw.features[layer].shape[1:]) for layer in layers]
            rows = len(self.found)
            self.gap = [np.empty((rows, c), np.float32) for c, _, _ in shapes]
            self.maps = [np.empty((rows, h, w, c), np.float16) for c, h, w in shapes]


def _look(
    looker: Looker, contents: Contents, wanted: Sequence[str], runtime: Runtime, name: str
) -> _Seen:
    detector, seen = looker.detector, _Seen([None] * len(wanted))

    def batch(span: slice) -> None:
        pixels = np.empty((len(wanted[span]), 3, detector.size_px, detector.size_px), np.float32)
        boxed = [
            detector.letterbox(np.asarray(contents.image(content)), place)
            for content, place in zip(wanted[span], pixels, strict=True)
        ]
        raw = detector.forward(pixels)
        seen.allocate(raw, detector.layers)
        _keep_features(detector, raw, seen, span)
        for image, (content, frame) in enumerate(zip(wanted[span], boxed, strict=True)):
            seen.found[span.start + image] = looker.look(content, frame, raw, image)
        advance(name, span.stop - span.start)

    run_lanes(
        batch,
        _batches(detector, len(wanted), runtime),
        lanes=runtime.lanes,
        on_enter=lambda: _enter(detector, runtime),
    )
    return seen


def _enter(detector: Detector, runtime: Runtime) -> None:
    import cv2

    cv2.setNumThreads(1)  # the lanes are the threads
    enter_lane(detector.device, lanes=runtime.lanes)


def _batches(detector: Detector, rows: int, runtime: Runtime) -> list[slice]:
    if detector.device == "cpu":
        return tapered(rows, runtime.batch_size, runtime.lanes)
    return spans(rows, runtime.batch_size)


def _keep_features(detector: Detector, raw: Raw, seen: _Seen, span: slice) -> None:
    import torch

    for layer, gap, maps in zip(detector.layers, seen.gap, seen.maps, strict=True):
        features = raw.features[layer]
        if not _fit_float16(features):
            raise FeaturesOverflow(
                f"Layer {layer} of {detector.spec.name} gives numbers that float16 cannot hold. "
                "Leave it out of layers, or take other weights."
            )
        gap[span] = features.mean((2, 3), dtype=torch.float32).cpu().numpy()
        torch.from_numpy(maps[span]).copy_(features.permute(0, 2, 3, 1))


def _fit_float16(features: "torch.Tensor") -> bool:
    """Return whether all are finite as float16; half a step above its largest, they are not."""
    lowest, highest = features.aminmax()
    return bool(lowest > -_FLOAT16_END) and bool(highest < _FLOAT16_END)  # false of NaN
