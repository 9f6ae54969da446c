"""Predicted masks: decoded once an anchor for the assignment, pixel by pixel for the loss."""

import math
from typing import no_type_check

import numpy as np

from tasks.compute.losses.kernels.arrays import Array, HeadArrays, Rules, Scratch, TargetArrays
from tasks.compute.losses.kernels.compiling import kernel

EXPONENT_MAX = 40.0
"""e^-40 is 4e-18: nothing beside a loss."""


@no_type_check
@kernel(fastmath={"contract"})
def decode_row(
    prototypes: Array, coefficients: Array, anchor: int, row: int, first: int, last: int, out: Array
) -> None:
    """Fill out[:last - first] with the mask logits of one row, summed over prototypes in order."""
    count = last - first
    for x in range(count):
        out[x] = np.float32(0)
    for k in range(prototypes.shape[0]):
        weight = coefficients[k, anchor]
        for x in range(count):
            out[x] += weight * prototypes[k, row, first + x]


@no_type_check
@kernel()
def crop_of(low: float, high: float, side: int) -> tuple[int, int]:
    """Return the whole pixels p with low <= p < high, as first and last + 1, inside the side."""
    first = min(max(math.ceil(low), 0), side)
    last = min(max(math.ceil(high), first), side)
    return first, last


@no_type_check
@kernel()
def ones(word: int) -> int:
    """Return how many bits of a uint64 are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@no_type_check
@kernel()
def decode_mask(head: HeadArrays, rules: Rules, anchor: int, scratch: Scratch) -> int:
    """Decode the anchor's mask, cropped to its own box, as bits; return its place."""
    _, rows, columns = head.prototypes.shape
    words = (columns + 63) // 64
    place = scratch.mask_count[0]
    scratch.mask_count[0] = place + 1
    scratch.mask_known[anchor] = place
    bits = scratch.mask_words[place]
    scale = np.float32(rows / rules.size_px)
    box = head.boxes_px
    x0, x1 = crop_of(box[0, anchor] * scale, box[2, anchor] * scale, columns)
    y0, y1 = crop_of(box[1, anchor] * scale, box[3, anchor] * scale, rows)
    logits = np.empty(columns, np.float32)
    pixels = 0
    for y in range(y0, y1):
        decode_row(head.prototypes, head.mask_coefficients, anchor, y, x0, x1, logits)
        for x in range(x0, x1):
            if logits[x - x0] > np.float32(0):
                bits[y * words + (x >> 6)] |= np.uint64(1) << np.uint64(x & 63)
                pixels += 1
    scratch.mask_pixels[place] = pixels
    scratch.mask_spans[place, 0], scratch.mask_spans[place, 1] = y0, y1
    return place


@no_type_check
@kernel()
def mask_overlap(
    head: HeadArrays,
    targets: TargetArrays,
    rules: Rules,
    target: int,
    anchor: int,
    scratch: Scratch,
) -> float:
    """Return the IoU of the anchor's predicted mask and the target's."""
    place = scratch.mask_known[anchor]
    if place < 0:
        place = decode_mask(head, rules, anchor, scratch)
    words = (head.prototypes.shape[2] + 63) // 64
    top = targets.mask_rows[target, 0]
    y0 = max(top, scratch.mask_spans[place, 0])
    y1 = min(targets.mask_rows[target, 1], scratch.mask_spans[place, 1])
    bits = scratch.mask_words[place]
    begin = targets.mask_starts[target]
    shared = np.uint64(0)
    for y in range(y0, y1):
        for word in range(words):
            other = targets.mask_words[begin + (y - top) * words + word]
            shared += ones(bits[y * words + word] & other)
    inter = np.float32(shared)
    union = np.float32(targets.mask_pixels[target]) + np.float32(scratch.mask_pixels[place]) - inter
    return inter / max(union, np.float32(1))


@no_type_check
@kernel(inline="always")
def inverse_power(z: float) -> float:
    """Return e^-|z| in double precision, 0 beyond EXPONENT_MAX, without a branch or a table.

    The 256th power of a short Taylor series of e^(-|z| / 256), which runs in vector registers.
    """
    u = -min(abs(z), EXPONENT_MAX) * (1.0 / 256.0)
    p = 1.0 + u * (1.0 + u * (1 / 2 + u * (1 / 6 + u * (1 / 24 + u * (1 / 120 + u * (1 / 720))))))
    for _ in range(8):
        p *= p
    return p


@no_type_check
@kernel(fastmath={"contract", "reassoc", "nsz"})
def softplus_row(logits: Array, count: int) -> float:
    """Return the sum of log(1 + e^x) over the first `count` of at most 512 logits, to 1e-12.

    The product of all 1 + e^-|x| needs one logarithm.
    """
    linear = 0.0
    product = 1.0
    for x in range(count):
        z = np.float64(logits[x])
        linear += max(z, 0.0)
        product *= 1.0 + inverse_power(z)
    return linear + math.log(product)


@no_type_check
@kernel()
def unmatched(logits: Array, out: Array) -> None:
    """Fill `out` with the cross-entropy of logits with 0, rounded as the stock criterion rounds.

    It is x - log(sigmoid(x)) in float32: for a confident "nothing here", x = -11, the difference
    keeps one digit of 2e-5. Over 8,400 anchors that say the same this is no noise but a shift of a
    tenth of a percent, which a loss that should equal the stock one must have too. log(1 + p) is
    2 artanh(p / (2 + p)).
    """
    for x in range(logits.shape[0]):
        p = inverse_power(np.float64(logits[x]))
        u = p / (2.0 + p)
        s = u * u
        series = 1.0 + s * (
            1 / 3 + s * (1 / 5 + s * (1 / 7 + s * (1 / 9 + s * (1 / 11 + s * (1 / 13 + s / 15)))))
        )
        log_sigmoid = min(logits[x], np.float32(0)) - np.float32(2.0 * u * series)
        out[x] = logits[x] - log_sigmoid


@no_type_check
@kernel()
def unmatched_sum(logits: Array) -> float:
    """Return the cross-entropy of all of a flat float32 array with zeros."""
    block = np.empty(4096, np.float32)
    total = 0.0
    for begin in range(0, logits.shape[0], 4096):
        end = min(begin + 4096, logits.shape[0])
        unmatched(logits[begin:end], block)
        for place in range(end - begin):
            total += np.float64(block[place])
    return total


@no_type_check
@kernel()
def mask_loss(
    head: HeadArrays,
    targets: TargetArrays,
    target: int,
    chosen: Array,
    count: int,
    signs: Array,
    logits: Array,
) -> float:
    """Return the cross-entropy of `count` anchors' masks with a target's, over its box.

    Binary cross-entropy of a logit x with y in {0, 1} is softplus(x) or softplus(-x), so only the
    pixels in the box are decoded. The mean is over the whole mask grid, as in training.
    """
    x0, x1, y0, y1 = targets.crops[target]
    if x1 <= x0 or y1 <= y0 or count == 0:
        return 0.0
    words = (head.prototypes.shape[2] + 63) // 64
    top, bottom = targets.mask_rows[target]
    total = 0.0
    for y in range(y0, y1):
        begin = targets.mask_starts[target] + (y - top) * words
        for x in range(x0, x1):
            signs[x - x0] = np.float32(1)
            if top <= y < bottom:
                word = targets.mask_words[begin + (x >> 6)]
                if (word >> np.uint64(x & 63)) & np.uint64(1):
                    signs[x - x0] = np.float32(-1)
        for entry in range(count):
            anchor = chosen[entry]
            decode_row(head.prototypes, head.mask_coefficients, anchor, y, x0, x1, logits)
            for x in range(x1 - x0):
                logits[x] *= signs[x]
            total += softplus_row(logits, x1 - x0)
    pixels = head.prototypes.shape[1] * head.prototypes.shape[2]
    return total / pixels / np.float64(targets.areas[target])
