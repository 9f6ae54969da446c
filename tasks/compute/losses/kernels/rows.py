"""All losses of one head against the targets of many images."""

import math
from typing import no_type_check

import numpy as np

from tasks.compute.losses.kernels.arrays import Array, HeadArrays, Rules, Scratch, TargetArrays
from tasks.compute.losses.kernels.assign import assign
from tasks.compute.losses.kernels.compiling import kernel
from tasks.compute.losses.kernels.masks import mask_loss
from tasks.compute.losses.kernels.overlap import complete_iou

BOX, CLS, DFL, SEG, SEM = 0, 1, 2, 3, 4
"""Places of the components in a pair's losses; DFL is the l1 loss where reg_max is 1."""


@no_type_check
@kernel()
def level_of(rules: Rules, anchor: int) -> int:
    """Return the level of the pyramid that `anchor` belongs to."""
    level = 0
    while anchor >= rules.level_starts[level + 1]:
        level += 1
    return level


@no_type_check
@kernel(error_model="numpy")
def side_loss(head: HeadArrays, rules: Rules, anchor: int, side: int, target: float) -> float:
    """Return the distribution focal loss of one side, of a target distance in grid cells.

    Li et al. 2020, arXiv 2006.04388: the cross-entropy of the two bins beside the target.
    """
    limit = np.float32(rules.reg_max - 1 - 0.01)
    clamped = min(max(target, np.float32(0)), limit)
    left = int(clamped)
    share = np.float32(left + 1) - clamped
    bins = side * rules.reg_max + left
    norm = head.log_norms[side, anchor]
    low = head.distances[bins, anchor] - norm
    high = head.distances[bins + 1, anchor] - norm
    return -(low * share + high * (np.float32(1) - share))


@no_type_check
@kernel(error_model="numpy")
def box_losses(
    head: HeadArrays, targets: TargetArrays, rules: Rules, anchor: int, target: int
) -> tuple[float, float]:
    """Return 1 - CIoU and the distance loss of one positive anchor, without weight and gain."""
    level = level_of(rules, anchor)
    stride = rules.strides[level]
    inside = anchor - rules.level_starts[level]
    columns = rules.level_columns[level]
    cx = np.float32(inside % columns) + np.float32(0.5)
    cy = np.float32(inside // columns) + np.float32(0.5)
    x1 = targets.boxes_px[target, 0] / stride
    y1 = targets.boxes_px[target, 1] / stride
    x2 = targets.boxes_px[target, 2] / stride
    y2 = targets.boxes_px[target, 3] / stride
    ax1, ay1, ax2, ay2 = (
        head.boxes[0, anchor],
        head.boxes[1, anchor],
        head.boxes[2, anchor],
        head.boxes[3, anchor],
    )
    small = np.float32(1e-7)
    angle = math.atan((x2 - x1) / (y2 - y1 + small)) - math.atan((ax2 - ax1) / (ay2 - ay1 + small))
    iou = complete_iou(ax1, ay1, ax2, ay2, x1, y1, x2, y2, np.float32(angle))
    sides = (cx - x1, cy - y1, x2 - cx, y2 - cy)
    total = 0.0
    for side in range(4):
        if rules.reg_max > 1:
            total += side_loss(head, rules, anchor, side, sides[side])
        else:
            total += abs(head.distances[side, anchor] - sides[side]) * stride / rules.size_px
    return 1.0 - iou, total / 4


@no_type_check
@kernel()
def semantic_loss(head: HeadArrays, targets: TargetArrays, image: int, hits: Array) -> float:
    """Return half the cross-entropy and half the Dice loss of the semantic logits.

    `hits` are float64 (C, 2) of working memory. Only covered pixels are looked at: all others add
    what no target adds.
    """
    classes, pixels = head.semantic.shape
    hits[:] = 0.0
    taken = 0.0
    for entry in range(targets.semantic_starts[image], targets.semantic_starts[image + 1]):
        label, place = targets.semantic_classes[entry], targets.semantic_places[entry]
        logit = np.float64(head.semantic[label, place])
        taken += logit
        hits[label, 0] += 1.0 / (1.0 + math.exp(-logit))
        hits[label, 1] += 1.0
    entropy = (head.semantic_unmatched_sum - taken) / (classes * pixels)
    dice = 0.0
    for label in range(classes):
        union = head.semantic_sums[label] + hits[label, 1]
        dice += 1.0 - (2.0 * hits[label, 0] + 1.0) / (union + 1.0)
    return 0.5 * entropy + 0.5 * dice / classes


@no_type_check
@kernel()
def segment(
    head: HeadArrays,
    targets: TargetArrays,
    first: int,
    last: int,
    count: int,
    anchors: Array,
    owners: Array,
) -> float:
    """Return the mean mask loss of the positive anchors of a pair."""
    side = head.prototypes.shape[2]
    signs, logits = np.empty(side, np.float32), np.empty(side, np.float32)
    chosen = np.empty(count, np.int64)
    total = 0.0
    for target in range(first, last):
        own = np.int64(0)
        for entry in range(count):
            if owners[entry] == target - first:
                chosen[own] = anchors[entry]
                own += 1
        total += mask_loss(head, targets, target, chosen, own, signs, logits)
    return total / count


@no_type_check
@kernel(error_model="numpy")
def row_losses(
    head: HeadArrays,
    targets: TargetArrays,
    rules: Rules,
    scratch: Scratch,
    first: int,
    last: int,
    losses: Array,
    normalisers: Array,
    positives: Array,
) -> None:
    """Fill losses[:, j], normalisers[j] and positives[j] for the images j of first:last."""
    room = scratch.anchors.shape[0] + 1
    anchors = np.empty(room, np.int64)
    owners, places = np.empty(room, np.int64), np.empty(room, np.int64)
    weights = np.empty(room, np.float32)
    hits = np.zeros((head.semantic.shape[0], 2), np.float64)
    for image in range(first, last):
        begin, end = targets.starts[image], targets.starts[image + 1]
        count = assign(head, targets, rules, image, scratch, anchors, owners, places, weights)
        total, box, dfl, matched = 0.0, 0.0, 0.0, 0.0
        for entry in range(count):
            weight = np.float64(weights[entry])
            total += weight
            if weight == 0.0:
                continue
            target = begin + owners[entry]
            matched += weight * head.logits[targets.labels[target], anchors[entry]]
            off, distance = box_losses(head, targets, rules, anchors[entry], target)
            box += weight * off
            dfl += weight * distance
        norm = max(total, 1.0)
        losses[BOX, image] = box / norm * rules.box_gain
        losses[CLS, image] = (head.unmatched_sum - matched) / norm * rules.cls_gain
        losses[DFL, image] = dfl / norm * rules.dfl_gain
        normalisers[image], positives[image] = total, count
        if losses.shape[0] > SEG:
            losses[SEG, image] = 0.0
            if count > 0:
                share = segment(head, targets, begin, end, count, anchors, owners)
                losses[SEG, image] = share * rules.box_gain
        if losses.shape[0] > SEM:
            losses[SEM, image] = 0.0
            if count > 0:
                losses[SEM, image] = semantic_loss(head, targets, image, hits) * rules.box_gain
