"""Which anchors stand for which targets, and how strongly: the task-aligned assignment.

Feng et al. 2021, arXiv 2108.07755, with the choices of Ultralytics 8.4.190: the k best anchors of
each target by alignment; an anchor that several chose goes to the highest overlap among all targets
it is a candidate of, chosen or not; weights are normalised by each target's best.
"""

from typing import no_type_check

import numpy as np

from tasks.compute.losses.kernels.arrays import Array, HeadArrays, Rules, Scratch, TargetArrays
from tasks.compute.losses.kernels.compiling import kernel
from tasks.compute.losses.kernels.largest import largest
from tasks.compute.losses.kernels.overlap import fit_candidates

NONE = -1


@no_type_check
@kernel()
def best_target(
    scratch: Scratch, targets: TargetArrays, rules: Rules, image: int, anchor: int
) -> tuple[int, int]:
    """Return the target that overlaps `anchor` most, the first of equals, and its place there.

    Where no target has it as a candidate with an overlap, that is the image's first target.
    """
    level = 0
    while anchor >= rules.level_starts[level + 1]:
        level += 1
    inside = anchor - rules.level_starts[level]
    row, column = inside // rules.level_columns[level], inside % rules.level_columns[level]
    chosen, place, highest = 0, NONE, np.float32(0)
    start = targets.starts[image]
    for target in range(start, targets.starts[image + 1]):
        rects = targets.candidates[target]
        if not (rects[level, 0] <= column < rects[level, 1]):
            continue
        if not (rects[level, 2] <= row < rects[level, 3]):
            continue
        found = scratch.spans[target - start]
        for finer in range(level):
            wide, high = rects[finer, 1] - rects[finer, 0], rects[finer, 3] - rects[finer, 2]
            found += wide * high
        wide = rects[level, 1] - rects[level, 0]
        found += (row - rects[level, 2]) * wide + column - rects[level, 0]
        if scratch.overlaps[found] > highest or (target == start and place == NONE):
            chosen, place, highest = target - start, found, scratch.overlaps[found]
    return chosen, place


@no_type_check
@kernel()
def choose(
    scratch: Scratch,
    targets: TargetArrays,
    rules: Rules,
    image: int,
    anchors: Array,
    owners: Array,
    places: Array,
) -> int:
    """Fill the chosen anchors, their targets and places among the candidates; return how many."""
    count = np.int64(0)
    for target in range(targets.starts[image + 1] - targets.starts[image]):
        first, last = scratch.spans[target], scratch.spans[target + 1]
        largest(
            scratch.aligns,
            scratch.anchors,
            first,
            last,
            rules.topk,
            rules.level_starts[-1],
            scratch.heap_values,
            scratch.heap_places,
        )
        for entry in range(rules.topk):
            place = scratch.heap_places[entry]
            if place >= 0:
                anchor = scratch.anchors[place]
                scratch.claims[anchor] += 1
                anchors[count], owners[count], places[count] = anchor, target, place
                count += 1
    return settle(scratch, targets, rules, image, count, anchors, owners, places)


@no_type_check
@kernel()
def settle(
    scratch: Scratch,
    targets: TargetArrays,
    rules: Rules,
    image: int,
    count: int,
    anchors: Array,
    owners: Array,
    places: Array,
) -> int:
    """Give every anchor that several targets chose to one of them; return how many are left."""
    kept = 0
    for entry in range(count):
        anchor = anchors[entry]
        claims = scratch.claims[anchor]
        if claims == 0:  # settled when its first claim was met
            continue
        owner, place = owners[entry], places[entry]
        if claims > 1:
            owner, place = best_target(scratch, targets, rules, image, anchor)
        scratch.claims[anchor] = 0
        anchors[kept], owners[kept], places[kept] = anchor, owner, place
        kept += 1
    return kept


@no_type_check
@kernel()
def keep_best(
    scratch: Scratch, targets: int, count: int, anchors: Array, owners: Array, places: Array
) -> int:
    """Leave each target only its best aligned anchor, the first of equals; return how many.

    Of anchors that do not align at all only anchor 0 is one of the best: the top-k of a row of
    zeros is its first entry.
    """
    best = np.full(targets, NONE, np.int64)
    for entry in range(count):
        place, owner = places[entry], owners[entry]
        value = scratch.aligns[place] if place != NONE else np.float32(0)
        if value == 0 and anchors[entry] != 0:
            continue
        rival = best[owner]
        if rival == NONE or better(scratch, value, anchors[entry], anchors[rival], places[rival]):
            best[owner] = entry
    kept = 0
    for entry in range(count):
        if best[owners[entry]] == entry:
            anchors[kept], owners[kept], places[kept] = anchors[entry], owners[entry], places[entry]
            kept += 1
    return kept


@no_type_check
@kernel()
def better(scratch: Scratch, value: float, anchor: int, rival: int, rival_place: int) -> bool:
    """Return whether an anchor aligns more than its rival, or as much and comes before it."""
    other = scratch.aligns[rival_place] if rival_place != NONE else np.float32(0)
    return value > other or (value == other and anchor < rival)


@no_type_check
@kernel(error_model="numpy")
def weigh(
    scratch: Scratch, targets: int, count: int, owners: Array, places: Array, weights: Array
) -> None:
    """Fill the weights: alignment, scaled so that each target's best has its best overlap."""
    aligned = np.zeros(targets, np.float32)
    overlapped = np.zeros(targets, np.float32)
    for entry in range(count):
        place, owner = places[entry], owners[entry]
        if place != NONE:
            aligned[owner] = max(aligned[owner], scratch.aligns[place])
            overlapped[owner] = max(overlapped[owner], scratch.overlaps[place])
    for entry in range(count):
        place, owner = places[entry], owners[entry]
        if place == NONE:
            weights[entry] = np.float32(0)
        else:
            scaled = scratch.aligns[place] * overlapped[owner]
            weights[entry] = scaled / (aligned[owner] + np.float32(1e-9))


@no_type_check
@kernel()
def assign(
    head: HeadArrays,
    targets: TargetArrays,
    rules: Rules,
    image: int,
    scratch: Scratch,
    anchors: Array,
    owners: Array,
    places: Array,
    weights: Array,
) -> int:
    """Fill the positive anchors of a pair, their targets within the image, and their weights.

    Returns how many there are.
    """
    count = targets.starts[image + 1] - targets.starts[image]
    if count == 0:
        return 0
    fit_candidates(head, targets, rules, image, scratch)
    chosen = choose(scratch, targets, rules, image, anchors, owners, places)
    if rules.topk2 != rules.topk:
        chosen = keep_best(scratch, count, chosen, anchors, owners, places)
    weigh(scratch, count, chosen, owners, places, weights)
    return chosen
