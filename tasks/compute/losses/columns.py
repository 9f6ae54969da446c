"""The targets of many images, made ready once for all heads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.compute.losses.heads import ratio_angles
from tasks.compute.losses.kernels.arrays import Rules, TargetArrays
from tasks.compute.losses.targets import MASK_STRIDE_PX, Targets, overlap_map, xywhn

WORD = 64


def target_arrays(rules: Rules, images: Sequence[Targets], classes: int) -> TargetArrays:
    """The targets of `images`, one after the other, with the anchors and pixels they concern.

    `classes` is how many the head knows. Raises ValueError for a class beyond them.
    """
    counts = [len(targets) for targets in images]
    labels = np.concatenate([np.zeros(0, np.int64), *(t.class_ids for t in images)])
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"the targets have classes {labels.min()} to {labels.max()}, the head knows 0 to "
            f"{classes - 1}: both must be of the same model"
        )
    shares = np.concatenate(
        [np.zeros((0, 4), np.float32), *(xywhn(t, rules.size_px) for t in images)]
    )
    boxes = _corners(shares * np.float32(rules.size_px))
    candidates = _candidates(rules, boxes)
    inside = (candidates[..., 1] - candidates[..., 0]) * (candidates[..., 3] - candidates[..., 2])
    crops, areas = _crops(boxes, rules.size_px)
    rows, starts, words, pixels = _masks(images)
    return TargetArrays(
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes_px=boxes,
        ratio_angles=ratio_angles(boxes),
        labels=labels,
        candidates=candidates,
        candidate_counts=inside.sum(axis=1, dtype=np.int64),
        crops=crops,
        areas=areas,
        mask_rows=rows,
        mask_starts=starts,
        mask_words=words,
        mask_pixels=pixels,
        **_semantic(images, rules),
    )


def most_candidates(targets: TargetArrays) -> int:
    """How many candidate anchors the targets of one image have together, at most."""
    sums = np.concatenate([[0], np.cumsum(targets.candidate_counts)])
    spans = sums[targets.starts[1:]] - sums[targets.starts[:-1]]
    return int(spans.max(initial=0))


def _corners(xywh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and sides as corners, rounded as the stock criterion rounds."""
    half = xywh[:, 2:] / 2
    return np.ascontiguousarray(np.concatenate([xywh[:, :2] - half, xywh[:, :2] + half], axis=1))


def _candidates(rules: Rules, boxes: NDArray[np.float32]) -> NDArray[np.int32]:
    """Columns and rows, by level, of the anchors inside each box; a small box is enlarged."""
    least = rules.strides[min(1, len(rules.strides) - 1)]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], least)
    enlarged = _corners(np.concatenate([centres, sides], axis=1))
    found = np.zeros((len(boxes), len(rules.strides), 4), np.int32)
    for level, (columns, stride) in enumerate(zip(rules.level_columns, rules.strides, strict=True)):
        points = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) * stride
        for axis in range(2):
            low, high = enlarged[:, axis, None], enlarged[:, 2 + axis, None]
            inside = (points - low > 1e-9) & (high - points > 1e-9)
            first = inside.argmax(axis=1)
            found[:, level, 2 * axis] = first
            found[:, level, 2 * axis + 1] = first + inside.sum(axis=1)
    return found


def _crops(
    boxes: NDArray[np.float32], size_px: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The boxes on the mask grid, as columns and rows, and their areas as shares of the image."""
    side = size_px // MASK_STRIDE_PX
    shares = boxes / np.float32(size_px)
    edges = np.clip(np.ceil(shares * np.float32(side)), 0, side).astype(np.int32)
    areas = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
    return np.ascontiguousarray(edges[:, [0, 2, 1, 3]]), np.asarray(areas, np.float32)


def _masks(
    images: Sequence[Targets],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """The rows of each mask, where its bits start, the bits, and the number of pixels.

    What a smaller target covers is no longer the larger one's.
    """
    rows, words, pixels = [], [], []
    for targets in images:
        owner = None if targets.masks is None else overlap_map(targets)
        for place in range(len(targets)):
            mask = np.zeros((0, 0), np.bool_) if owner is None else owner == place + 1
            touched = np.flatnonzero(mask.any(axis=1))
            top, bottom = (touched[0], touched[-1] + 1) if touched.size else (0, 0)
            rows.append((top, bottom))
            words.append(_bits(mask[top:bottom]))
            pixels.append(np.count_nonzero(mask))
    starts = np.cumsum([0, *(part.size for part in words)])
    return (
        np.array(rows, np.int32).reshape(-1, 2),
        starts.astype(np.int64),
        np.concatenate([np.zeros(0, np.uint64), *words]),
        np.array(pixels, np.int64),
    )


def _bits(mask: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """The rows of a mask as words of 64 pixels, the lowest bit first."""
    height, width = mask.shape
    padded = np.zeros((height, -(-width // WORD) * WORD), np.bool_)
    padded[:, :width] = mask
    packed = np.packbits(padded, axis=1, bitorder="little").reshape(-1)
    return packed.view("<u8").astype(np.uint64)


def _semantic(images: Sequence[Targets], rules: Rules) -> dict[str, NDArray[np.integer]]:
    """The covered pixels of each image on the semantic grid, the finest level's, and their classes.

    The grid is coarser than that of the masks, of which it takes the upper left pixel of each
    square, as nearest-neighbour resampling by a whole factor does.
    """
    step = int(rules.strides[0]) // MASK_STRIDE_PX
    places, classes = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for targets in images:
        if targets.masks is None:
            places.append(np.zeros(0, np.int32))
            continue
        owner = overlap_map(targets)[::step, ::step].reshape(-1)
        covered = np.flatnonzero(owner)
        places.append(covered.astype(np.int32))
        classes.append(targets.class_ids[owner[covered] - 1].astype(np.int32))
    return {
        "semantic_starts": np.cumsum([part.size for part in places]).astype(np.int64),
        "semantic_places": np.concatenate(places),
        "semantic_classes": np.concatenate(classes),
    }
