"""What is known to be in an image, as the model's losses and as the metrics take it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from conf.keys import sha256_of
from conf.runtime import Runtime
from storage.annotations.truth import Annotations, Truth
from storage.kinds import find_kind
from storage.store import Artifact, ArtifactStore
from tasks.compute.detections.masks import GRID_PX, sample_runs
from tasks.compute.detections.metrics import same_classes
from tasks.compute.losses.targets import Targets, targets_of
from tasks.models.yolo.letterbox import Frame

UNKNOWN = "unknown: nothing is known to be in this image"


@lru_cache(maxsize=4)
def open_annotations(artifact: Artifact | None, runtime: Runtime) -> Annotations | None:
    """Return what `artifact` knows of images, None of none; one process reads it once."""
    if artifact is None:
        return None
    found: Annotations = find_kind(artifact.kind).open(ArtifactStore(runtime.store), artifact)
    return found


def truth_digest(known: Annotations | None, content: str) -> str | None:
    """Return the start of the sha256 of all that decides losses and metrics of an image, beside
    the image; None where nothing is known of it."""
    truth = known.of(content) if known else None
    if known is None or truth is None:
        return None
    said = {
        "names": known.names,
        "superclasses": known.superclasses,
        "boxes": truth.boxes_px.tolist(),
        "classes": truth.class_ids.tolist(),
        "masks": truth.masks,
    }
    return sha256_of(said)[:16]


@dataclass(frozen=True)
class Classes:
    """The classes of annotations in terms of a model."""

    known: tuple[str, ...]
    """The classes of the annotations."""
    in_model: NDArray[np.int64]
    """The model's id of each, -1 where the model has no class of that name."""
    super_names: tuple[str, ...]
    """The superclasses, sorted; an image's `flag_supercat` is a place in here."""
    in_super: NDArray[np.int64] | None
    """The place of each class's superclass; None where there are none."""

    @classmethod
    def of(cls, known: Annotations, names: Sequence[str]) -> "Classes":
        """Return the classes of `known` beside a model that has the classes `names`."""
        in_model, above = same_classes(names, known.names), known.superclasses
        if above is None:
            return cls(known.names, in_model, (), None)
        super_names = tuple(sorted(set(above)))
        return cls(known.names, in_model, super_names, same_classes(super_names, above))

    def strangers(self, truth: Truth) -> list[str]:
        """Return the classes in the image that the model does not have."""
        return sorted({self.known[i] for i in truth.class_ids.tolist() if self.in_model[i] < 0})


def targets_in(
    frame: Frame, truth: Truth, classes: Classes, *, masks: bool
) -> tuple[Targets | None, str | None]:
    """Return the targets that `truth` makes in the square, and why parts of them are missing.

    No targets where the image holds classes that the model lacks. With `masks`, an object of which
    only the box is known gets none, and then the losses of masks mean nothing: the reason says so.
    """
    if strangers := classes.strangers(truth):
        return None, f"classes unknown to the model: {', '.join(strangers)}"
    boxes = frame.to_square(truth.boxes_px)
    side = frame.size_px // GRID_PX
    grids = np.zeros((len(truth), side, side), dtype=np.bool_) if masks else None
    missing = 0
    for place, rle in enumerate(truth.masks) if grids is not None else ():
        if rle is None:
            missing += 1
            continue
        assert grids is not None
        rows, columns = _cells(boxes[place, 1::2], side), _cells(boxes[place, 0::2], side)
        at = ((_centres(rows) - frame.top_px) / frame.ratio,
              (_centres(columns) - frame.left_px) / frame.ratio)  # fmt: skip
        height_px, width_px = rle["size"]
        grids[place, rows, columns] = sample_runs(rle["counts"], height_px, width_px, at)
    ids = classes.in_model[truth.class_ids]
    targets = targets_of(boxes, ids, grids, size_px=frame.size_px)
    return targets, f"masks unknown: of {missing} of {len(truth)} objects" if missing else None


def _cells(ends_px: NDArray[np.float32], side: int) -> slice:
    """Return the cells of the grid that a side of a box touches."""
    low, high = np.clip([np.floor(ends_px[0] / GRID_PX), np.ceil(ends_px[1] / GRID_PX)], 0, side)
    return slice(int(low), int(high))


def _centres(cells: slice) -> NDArray[np.float64]:
    return (np.arange(cells.start, cells.stop) + 0.5) * GRID_PX
