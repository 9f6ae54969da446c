"""How well each candidate anchor of a target set fits its target."""

from typing import no_type_check

import numpy as np

from tasks.compute.losses.kernels.arrays import Array, HeadArrays, Rules, Scratch, TargetArrays
from tasks.compute.losses.kernels.compiling import kernel
from tasks.compute.losses.kernels.largest import largest
from tasks.compute.losses.kernels.masks import mask_overlap

SMALL = np.float32(1e-7)
V_SCALE = np.float32(4 / np.pi**2)


@no_type_check
@kernel(error_model="numpy", inline="always")
def complete_iou(
    ax1: float,
    ay1: float,
    ax2: float,
    ay2: float,
    bx1: float,
    by1: float,
    bx2: float,
    by2: float,
    angle: float,
) -> float:
    """Return the CIoU of two boxes, `angle` the difference of their ratios' arctangents.

    Zheng et al. 2020, arXiv 1911.08287, in the form and order of the stock `bbox_iou`.
    """
    aw, ah = ax2 - ax1, ay2 - ay1 + SMALL
    bw, bh = bx2 - bx1, by2 - by1 + SMALL
    zero = np.float32(0)
    inter = max(min(ax2, bx2) - max(ax1, bx1), zero) * max(min(ay2, by2) - max(ay1, by1), zero)
    union = aw * ah + bw * bh - inter + SMALL
    iou = inter / union
    wide = max(ax2, bx2) - min(ax1, bx1)
    high = max(ay2, by2) - min(ay1, by1)
    diagonal = wide * wide + high * high + SMALL
    dx, dy = bx1 + bx2 - ax1 - ax2, by1 + by2 - ay1 - ay2
    rho = (dx * dx + dy * dy) * np.float32(0.25)
    v = V_SCALE * (angle * angle)
    alpha = v / (np.float32(1) - iou + v + SMALL)
    return iou - (rho / diagonal + v * alpha)


@no_type_check
@kernel(error_model="numpy")
def fit_row(
    boxes: Array,
    angles: Array,
    scores: Array,
    begin: int,
    count: int,
    box: Array,
    angle: float,
    overlaps: Array,
    roots: Array,
    out: int,
) -> None:
    """Fill overlaps and roots from `out` on with `count` neighbouring anchors from `begin`."""
    x1, y1, x2, y2 = box[0], box[1], box[2], box[3]
    for step in range(count):
        a = begin + step
        iou = complete_iou(
            x1,
            y1,
            x2,
            y2,
            boxes[0, a],
            boxes[1, a],
            boxes[2, a],
            boxes[3, a],
            angles[a] - angle,
        )
        overlaps[out + step] = max(iou, np.float32(0))
        roots[out + step] = scores[a]


@no_type_check
@kernel()
def align(scratch: Scratch, first: int, last: int, added: float) -> None:
    """Fill the alignment of the candidates first:last: root score times the overlap's sixth
    power."""
    for place in range(first, last):
        overlap = np.float64(scratch.overlaps[place])
        square = overlap * overlap
        sixth = np.float32(square * square * square)  # rounded once
        scratch.aligns[place] = scratch.roots[place] * sixth + added


@no_type_check
@kernel(error_model="numpy")
def fit_candidates(
    head: HeadArrays, targets: TargetArrays, rules: Rules, image: int, scratch: Scratch
) -> None:
    """Fill the scratch memory with every target's candidates, their overlap and alignment."""
    place = np.int64(0)
    start = targets.starts[image]
    for target in range(start, targets.starts[image + 1]):
        first = place
        scratch.spans[target - start] = first
        label = targets.labels[target]
        for level in range(rules.strides.shape[0]):
            rect = targets.candidates[target, level]
            count = rect[1] - rect[0]
            for row in range(rect[2], rect[3]):
                begin = rules.level_starts[level] + row * rules.level_columns[level] + rect[0]
                fit_row(
                    head.boxes_px,
                    head.ratio_angles,
                    head.root_scores[label],
                    begin,
                    count,
                    targets.boxes_px[target],
                    targets.ratio_angles[target],
                    scratch.overlaps,
                    scratch.roots,
                    place,
                )
                for step in range(count):
                    scratch.anchors[place + step] = begin + step
                place += count
        if rules.mask_aware:
            mix_masks(head, targets, rules, target, scratch, first, place)
        align(scratch, first, place, np.float32(0))
    scratch.spans[targets.starts[image + 1] - start] = place


@no_type_check
@kernel()
def mix_masks(
    head: HeadArrays,
    targets: TargetArrays,
    rules: Rules,
    target: int,
    scratch: Scratch,
    first: int,
    last: int,
) -> None:
    """Replace the box overlap of candidates by its mean with the mask overlap, for the best 3 k."""
    align(scratch, first, last, np.float32(1e-9))
    values, places = scratch.heap_values, scratch.heap_places
    anchors = rules.level_starts[-1]
    best = min(3 * rules.topk, anchors)
    largest(scratch.aligns, scratch.anchors, first, last, best, anchors, values, places)
    for place in range(first, last):
        scratch.overlaps[place] *= np.float32(0.5)
    for entry in range(best):
        place = places[entry]
        if place >= 0:
            shared = mask_overlap(head, targets, rules, target, scratch.anchors[place], scratch)
            scratch.overlaps[place] += shared * np.float32(0.5)
