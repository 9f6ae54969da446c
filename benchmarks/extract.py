"""What everything beside the forward pass costs when a segmentation model looks at images.

Ours: the real task, from JPEG files to the last marker: features, detections with masks at the
size of the image, feature maps, losses and metrics, stored. Against it: bare forward passes of the
same network over batches that are letterboxed already, at the batch size that it is fastest at; of
one thread with all cores and two with half of them, the faster. Both sides alternate.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Figures, alternate, main, rounded, timed
from benchmarks._making import keep_dataset, quiet_runtime
from conf.annotations import CellLabels
from conf.detections import DetectionRecipe, Thresholds
from conf.models import ModelSpec
from conf.runtime import Runtime
from conf.sources import cells
from conf.sources.folder import Source
from storage.annotations.tables import recipe_of
from storage.annotations.truth import Annotations
from storage.dataset import open_rows
from storage.detections.parts import IMAGES, read_table
from storage.drafts import Making
from storage.publishing import driving, seal
from storage.readers.pixels import decode
from storage.store import Artifact, ArtifactStore
from tasks.annotations import make_annotations, scan_labels
from tasks.dataset import open_contents, scan_source
from tasks.detections import detect_part, detection_making
from tasks.lanes import run_lanes, spans
from tasks.models.load import enter_lane, resolve
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Detector

_POCKET = ModelSpec(family="yolo", name="pocket-segmenter", precision="fp32")
_RANDOM = ModelSpec(family="yolo", name="yolo11n-seg", weights="random:0", precision="fp32")
_ROWS, _SMALL_ROWS = 256, 6
_SIZE_PX, _SMALL_SIZE_PX = 640, 128
_ROUNDS, _LANES = 3, 2
_BATCHES = (1, 2, 4, 8, 16)

Pixels = NDArray[np.float32]


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratio of throughput, ours to the fastest bare forward passes."""
    rows, size_px = (_SMALL_ROWS, _SMALL_SIZE_PX) if small else (_ROWS, _SIZE_PX)
    scene = _Scene(folder, rows, size_px, _RANDOM if small else _POCKET)
    bare = _fastest(scene)
    scene.runtime = scene.runtime.model_copy(update={"batch_size": bare.batch})
    scene.detect()  # what a process does once, compiling the losses too, is nobody's overhead
    sides: dict[str, Callable[[int], float]] = {
        "ours": lambda _: scene.detect(),
        "bare": lambda _: bare.seconds(scene.pixels),
    }
    seconds = alternate(sides, 1 if small else _ROUNDS)
    ratios = [theirs / ours for theirs, ours in zip(seconds["bare"], seconds["ours"], strict=True)]
    return {
        "ratio": round(median(ratios), 3),
        "unit": "images/s of the task / images/s of bare forward passes at their best batch size",
        "seconds": round(median(seconds["ours"]), 3),
        "bare_seconds": round(median(seconds["bare"]), 3),
        "images_per_second": round(rows / median(seconds["ours"]), 2),
        "rows": rows,
        "size_px": size_px,
        "model": scene.recipe.model.name,
        "bare_batch": bare.batch,
        "bare_threads": bare.threads,
        "detections_per_image": scene.found_per_image,
        "all_ratios": rounded(ratios),
    }


class _Scene:
    """Rendered scenes with their truth, and the task that looks at them."""

    def __init__(self, folder: Path, rows: int, size_px: int, model: ModelSpec) -> None:
        self.runtime: Runtime = quiet_runtime(folder / "store", lanes=_LANES, batch_size=4)
        truths = _write_scenes(folder / "scenes", rows, size_px, self.runtime)
        self.source = Source(root=folder / "scenes")
        self.dataset, self.ledger = keep_dataset(self.source, self.runtime)
        self.annotations, self.known = _keep_truth(truths, self.runtime)
        self.recipe = DetectionRecipe(
            model=resolve(model, self.runtime), size_px=size_px, thresholds=Thresholds()
        )
        self.detector: Detector = load_detector(self.recipe.model, self.runtime, size_px)
        self.found_per_image = 0.0

    def detect(self) -> float:
        """Return the seconds of the real task, part by part; the draft is thrown away."""
        key = ArtifactStore(self.runtime.store).key_of(self.annotations)
        making = detection_making(self.recipe, self.ledger, key, self.known)
        with driving(ArtifactStore(self.runtime.store), making) as draft:
            assert draft is not None
            began = time.perf_counter()
            for part in draft.pending():
                detect_part.fn(
                    self.recipe,
                    self.dataset,
                    annotations=self.annotations,
                    part=part,
                    source=self.source,
                    runtime=self.runtime,
                )
            seconds = time.perf_counter() - began
            assert not draft.pending()
            tables = [read_table(draft.parts / part, IMAGES) for part in draft.part_rows]
            found = np.concatenate([table["detections"].to_numpy() for table in tables])
            self.found_per_image = round(float(found.mean()), 2)
            shutil.rmtree(draft.path)
        return seconds

    @cached_property
    def pixels(self) -> Pixels:
        """All images, letterboxed."""
        contents = open_contents(self.dataset, self.source, self.runtime)
        side = self.recipe.size_px
        squares = np.empty((len(self.ledger.contents), 3, side, side), np.float32)
        for content, square in zip(self.ledger.contents, squares, strict=True):
            self.detector.letterbox(np.asarray(contents.image(content)), square)
        return squares


def _write_scenes(folder: Path, rows: int, size_px: int, runtime: Runtime) -> Annotations:
    """Write rendered scenes as JPEG files, and return what is in them: to draw a scene takes longer
    than to look at it, and files are what users have."""
    folder.mkdir()
    drawn = cells.Source(count=rows, seed=11, size_px=size_px)
    scenes, truths = open_rows(drawn, ()), {}
    ledger = scan_source.fn(drawn, runtime=runtime)
    by_scene = scan_labels.fn(CellLabels(), drawn, ledger, runtime=runtime)
    for uri, scene in zip(ledger.uri, ledger.sha256, strict=True):
        image = decode(scenes.read(uri), max_megapixels=10, formats=scenes.formats)
        path = folder / f"{uri}.jpg"
        image.save(path, quality=92)
        truth = by_scene.of(scene or "")
        assert truth is not None
        truths[hashlib.sha256(path.read_bytes()).hexdigest()] = truth
    return Annotations(by_scene.names, truths, superclasses=by_scene.superclasses)


def _keep_truth(known: Annotations, runtime: Runtime) -> tuple[Artifact, Annotations]:
    recipe = recipe_of(known)
    making = Making(recipe, {}, ("annotations",))
    store = ArtifactStore(runtime.store)
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            make_annotations.fn(recipe, known=known, part=part, runtime=runtime)
    return seal(store, making.key), known


class _Bare:
    """Forward passes and nothing else: the network itself, no hooks read, nothing kept."""

    def __init__(self, detector: Detector, batch: int, threads: int) -> None:
        self.detector, self.batch, self.threads = detector, batch, threads

    def seconds(self, pixels: Pixels) -> float:
        """Return the seconds of passing all of `pixels` through the network."""
        import torch

        def work(span: slice) -> None:
            with torch.no_grad():
                self.detector.net(torch.from_numpy(pixels[span]))

        return timed(
            lambda: run_lanes(
                work,
                spans(len(pixels), self.batch),
                lanes=self.threads,
                on_enter=lambda: enter_lane("cpu", lanes=self.threads),
            )
        )


def _fastest(scene: _Scene) -> _Bare:
    """Return the way of passing images that is fastest on a few of them."""
    some = scene.pixels[:32]
    tried = [
        _Bare(scene.detector, batch, threads)
        for batch in _BATCHES
        if batch * 2 <= len(some)
        for threads in (1, _LANES)
    ]
    tried[0].seconds(some[:2])
    return min(tried, key=lambda bare: min(bare.seconds(some) for _ in range(2)))


if __name__ == "__main__":
    main("extract", measure)
