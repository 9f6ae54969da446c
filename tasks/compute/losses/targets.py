"""What a head is compared with: boxes, classes and masks in the square letterboxed input."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

MASK_STRIDE_PX = 4


@dataclass(frozen=True)
class Targets:
    """One image's targets, in the order and form in which training sees them.

    boxes_px: float32 (n, 4), xyxy in pixels of the square input, inside it, of some area.
    class_ids: int64 (n,). masks: bool (n, S/4, S/4), None for a detector without masks. With masks
    the largest comes first, for where two overlap training gives the pixel to the smaller.
    """

    boxes_px: Float32[np.ndarray, "n 4"]
    class_ids: Int64[np.ndarray, " n"]
    masks: Bool[np.ndarray, "n h w"] | None = None

    def __len__(self) -> int:
        return len(self.class_ids)


def targets_of(
    boxes_px: NDArray[np.floating],
    class_ids: NDArray[np.integer],
    masks: NDArray[np.bool_] | None,
    *,
    size_px: int,
) -> Targets:
    """The targets that boxes, classes and masks make: clipped to the square, empty boxes left out.

    boxes_px: (n, 4) xyxy in the square; masks: (n, S/4, S/4). A box that has no area inside the
    square is dropped, as training drops it: it could be divided by, never matched. ValueError when
    the lengths or the masks' sides do not fit.
    """
    count = len(class_ids)
    boxes = np.clip(np.asarray(boxes_px, np.float32).reshape(-1, 4), 0, np.float32(size_px))
    if len(boxes) != count:
        raise ValueError(f"{len(boxes)} boxes do not fit {count} classes: give one class a box")
    kept = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    if masks is not None:
        _check_masks(masks, count, size_px // MASK_STRIDE_PX)
        areas = np.count_nonzero(masks[kept], axis=(1, 2))
        kept = kept[np.argsort(-areas, kind="stable")]
    return Targets(
        boxes_px=np.ascontiguousarray(boxes[kept]),
        class_ids=np.asarray(class_ids, np.int64)[kept],
        masks=None if masks is None else np.ascontiguousarray(masks[kept], dtype=np.bool_),
    )


def _check_masks(masks: NDArray[np.bool_], count: int, side: int) -> None:
    if masks.shape != (count, side, side):
        raise ValueError(
            f"masks of shape {masks.shape} do not fit {count} boxes: ({count}, {side}, {side}), a "
            f"quarter of the input's side, was expected"
        )


def no_targets(size_px: int, *, masks: bool) -> Targets:
    """The targets of an image on which nothing was found."""
    side = size_px // MASK_STRIDE_PX
    empty = np.zeros((0, side, side), np.bool_) if masks else None
    return targets_of(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), empty, size_px=size_px)


def overlap_map(targets: Targets) -> Int64[np.ndarray, "h w"]:
    """Which target owns each pixel of the mask grid: its place + 1, the smallest on top; else 0."""
    if targets.masks is None:
        raise ValueError("these targets have no masks: ask a segmentation model for them")
    owner = np.zeros(targets.masks.shape[1:], np.int64)
    for place, mask in enumerate(targets.masks):
        owner[mask] = place + 1
    return owner


def xywhn(targets: Targets, size_px: int) -> Float32[np.ndarray, "n 4"]:
    """The boxes as a label file has them: centre and sides, as shares of the square's side."""
    x1, y1, x2, y2 = targets.boxes_px.T
    centred = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1)
    return np.asarray(centred, np.float32) / np.float32(size_px)


def stock_batch(targets: Targets, size_px: int) -> dict[str, NDArray[np.float32]]:
    """The batch of one image that the stock criterion of Ultralytics takes, as float32 arrays.

    Keys batch_idx (n,), cls (n,), bboxes (n, 4); with masks also masks and sem_masks (1, S/4, S/4):
    the overlap map, and the class of each pixel's owner (0 where there is none).
    """
    batch = {
        "batch_idx": np.zeros(len(targets), np.float32),
        "cls": targets.class_ids.astype(np.float32),
        "bboxes": xywhn(targets, size_px),
    }
    if targets.masks is None:
        return batch
    owner = overlap_map(targets)
    classes = np.append(np.int64(0), targets.class_ids)
    return batch | {
        "masks": owner[None].astype(np.float32),
        "sem_masks": classes[owner][None].astype(np.float32),
    }
