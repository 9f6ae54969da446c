"""What the compiled loops read: one head, and the targets of many images."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class HeadArrays(NamedTuple):
    """One image's head, decoded once for all target sets; A anchors, C classes."""

    logits: Array
    """float32 (C, A)."""
    root_scores: Array
    """float32 (C, A): square roots of the class probabilities."""
    unmatched_sum: float
    """The cross-entropy of all logits with 0: the classification loss of no targets, no gain."""
    distances: Array
    """float32 (4 * reg_max, A), as the head gives them."""
    log_norms: Array
    """float32 (4, A): the logsumexp of each side's bins; zeros where reg_max is 1."""
    boxes: Array
    """float32 (4, A): xyxy in grid cells."""
    boxes_px: Array
    """float32 (4, A): xyxy in pixels."""
    ratio_angles: Array
    """float32 (A,): arctangent of width / height of the boxes in pixels."""
    mask_coefficients: Array
    """float32 (K, A); (0, 0) without masks."""
    prototypes: Array
    """float32 (K, H, W); (0, 0, 0) without masks."""
    semantic: Array
    """float32 (C, h * w) logits; (0, 0) without them."""
    semantic_unmatched_sum: float
    semantic_sums: Array
    """float64 (C,): sum of each class's probabilities."""


class TargetArrays(NamedTuple):
    """The targets of N images, one after the other; G targets in all."""

    starts: Array
    """int64 (N + 1): image j's targets are starts[j]:starts[j + 1]."""
    boxes_px: Array
    """float32 (G, 4) xyxy."""
    ratio_angles: Array
    """float32 (G,)."""
    labels: Array
    """int64 (G,)."""
    candidates: Array
    """int32 (G, levels, 4): columns x0:x1 and rows y0:y1 of the anchors inside, by level."""
    candidate_counts: Array
    """int64 (G,): their number."""
    crops: Array
    """int32 (G, 4): columns x0:x1 and rows y0:y1 of the box on the mask grid."""
    areas: Array
    """float32 (G,): of the box, as a share of the image."""
    mask_rows: Array
    """int32 (G, 2): rows y0:y1 that the mask touches."""
    mask_starts: Array
    """int64 (G + 1): its place in `mask_words`."""
    mask_words: Array
    """uint64: row by row, 64 pixels a word, the lowest bit first."""
    mask_pixels: Array
    """int64 (G,): how many pixels the mask has."""
    semantic_starts: Array
    """int64 (N + 1): image j's covered pixels of the semantic grid."""
    semantic_places: Array
    """int32: the pixel."""
    semantic_classes: Array
    """int32: the class of its owner."""


class Rules(NamedTuple):
    """How targets are assigned and weighed: what decides the losses beside head and targets."""

    reg_max: int
    topk: int
    topk2: int
    mask_aware: bool
    """Whether the overlap is the mean of box and mask IoU."""
    size_px: int
    box_gain: float
    cls_gain: float
    dfl_gain: float
    strides: Array
    """float32 (levels,)."""
    level_starts: Array
    """int64 (levels + 1): the first anchor of each level."""
    level_columns: Array
    """int64 (levels,)."""


class Scratch(NamedTuple):
    """Memory of one thread."""

    overlaps: Array
    """float32, one entry a candidate of the pair at hand."""
    aligns: Array
    roots: Array
    anchors: Array
    """int32."""
    spans: Array
    """int64: where each target's candidates begin."""
    claims: Array
    """int32 (A,): how many targets chose the anchor; zeros between pairs."""
    heap_values: Array
    heap_places: Array
    mask_known: Array
    """int64 (A,): the place of the anchor's mask in `mask_words`, -1 while it is not decoded."""
    mask_words: Array
    """uint64 (anchors decoded, rows * words)."""
    mask_pixels: Array
    """int64."""
    mask_spans: Array
    """int32 (anchors decoded, 2): rows y0:y1."""
    mask_count: Array
    """int64 (1,)."""
