"""How well detections agree with what is known to be in an image, by one-to-one matching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from tasks.compute.detections.masks import Runs, dice

LEAST_IOU = 0.5


def box_ious(
    first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Return the intersection over union of every pair of boxes x1, y1, x2, y2; float64."""
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - shared
    ious: NDArray[np.float64] = np.zeros_like(shared)
    np.divide(shared, union, out=ious, where=union > 0)
    return ious


def match(
    ious: Float[np.ndarray, "n m"],
    classes: Int64[np.ndarray, " n"],
    true_classes: Int64[np.ndarray, " m"],
    least_iou: float = LEAST_IOU,
) -> Int64[np.ndarray, " n"]:
    """Return the object that each detection is matched with, -1 for none.

    COCO's rule (Lin et al. 2014, cocoeval): the detections, the most confident first, each take the
    object of their class that they overlap most, by `least_iou` at least, and that none took
    before; of equals the last. `ious` has a row for each detection, in order of confidence.
    """
    found = np.full(len(ious), -1, dtype=np.int64)
    free = np.ones(ious.shape[1], dtype=np.bool_)
    for row, overlaps in enumerate(ious):
        able = np.flatnonzero(free & (true_classes == classes[row]) & (overlaps >= least_iou))
        if able.size:
            best = able[len(able) - 1 - np.argmax(overlaps[able][::-1])]
            found[row], free[best] = best, False
    return found


@dataclass(frozen=True)
class Scores:
    """The metrics of one image; None where there is nothing to take them of."""

    mean_iou: float | None
    """The mean IoU of the matched boxes; None when none matched."""
    mean_conf: float | None
    """The mean confidence of all detections; None when there are none."""
    hit_freq: float | None
    """The share of the objects that are matched; None when no object is known."""
    dice_score: float | None
    """The mean Dice coefficient of the matched masks; None when no two masks were matched."""


def scores(
    confidence: Float[np.ndarray, " n"],
    matched: Int64[np.ndarray, " n"] | None,
    ious: Float[np.ndarray, "n m"] | None,
    masks: Sequence[Runs | None],
    true_masks: Sequence[Runs | None],
) -> Scores:
    """Return the metrics of detections `matched` with objects; None for both: nothing is known.

    Masks are run lengths at the size of the image, None where there is only a box.
    """
    mean_conf = float(confidence.mean()) if len(confidence) else None
    if matched is None or ious is None:
        return Scores(None, mean_conf, None, None)
    rows = np.flatnonzero(matched >= 0)
    pairs = [(masks[row], true_masks[int(matched[row])]) for row in rows.tolist()]
    dices = [dice(ours, true) for ours, true in pairs if ours is not None and true is not None]
    return Scores(
        mean_iou=float(ious[rows, matched[rows]].mean()) if rows.size else None,
        mean_conf=mean_conf,
        hit_freq=rows.size / ious.shape[1] if ious.shape[1] else None,
        dice_score=float(np.mean(dices)) if dices else None,
    )


def most_frequent(class_ids: Int64[np.ndarray, " n"]) -> int | None:
    """Return the most frequent class, of equals the lowest; None of no class."""
    return int(np.bincount(class_ids).argmax()) if len(class_ids) else None


def distribution(class_ids: Int64[np.ndarray, " n"]) -> Mapping[str, int]:
    """Return how many there are of each class that there is, by its id as text."""
    ids, counts = np.unique(class_ids, return_counts=True)
    return {str(number): int(count) for number, count in zip(ids, counts, strict=True)}


def same_classes(names: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Return the place in `names` of each of `known`, -1 for one that is not among them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(name, -1) for name in known], dtype=np.int64)
