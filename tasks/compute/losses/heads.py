"""A head made ready for the loops: decoded once, whatever it is then compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from tasks.compute.losses.kernels.arrays import Array, HeadArrays, Rules

BOX_GAIN, CLS_GAIN, DFL_GAIN = 7.5, 0.5, 1.5
"""Ultralytics' own, which its loss items carry; masks and semantics have the box gain."""


@dataclass(frozen=True)
class Criterion:
    """What a family of heads does with targets; `components` names its losses, in our order."""

    components: tuple[str, ...]
    reg_max: int
    topk: int
    topk2: int
    mask_aware: bool

    @property
    def has_masks(self) -> bool:
        """Whether targets need masks."""
        return "seg" in self.components


def criterion_of(*, end_to_end: bool, masks: bool, reg_max: int) -> Criterion:
    """The criterion of a head: ten anchors a target, or one of seven where the head is end-to-end.

    The loss items of an end-to-end head are those of its one-to-one branch; its segmentation form
    assigns by masks too and has a semantic loss.
    """
    distance = "dfl" if reg_max > 1 else "l1"
    components: tuple[str, ...] = ("box", "cls", distance)
    if masks:
        components += ("seg", "sem") if end_to_end else ("seg",)
    topk, topk2 = (7, 1) if end_to_end else (10, 10)
    return Criterion(components, reg_max, topk, topk2, mask_aware=masks and end_to_end)


def rules_of(criterion: Criterion, strides: Sequence[int], size_px: int) -> Rules:
    """The criterion with the anchors of a square input of `size_px`, a multiple of the strides."""
    columns = np.array([size_px // stride for stride in strides], np.int64)
    return Rules(
        reg_max=criterion.reg_max,
        topk=criterion.topk,
        topk2=criterion.topk2,
        mask_aware=criterion.mask_aware,
        size_px=size_px,
        box_gain=BOX_GAIN,
        cls_gain=CLS_GAIN,
        dfl_gain=DFL_GAIN,
        strides=np.array(strides, np.float32),
        level_starts=np.concatenate([[0], np.cumsum(columns**2)]).astype(np.int64),
        level_columns=columns,
    )


def anchor_grid(rules: Rules) -> tuple[Float32[np.ndarray, "2 a"], Float32[np.ndarray, " a"]]:
    """The anchors' centres in grid cells (x, y), and the stride of each in pixels."""
    centres, strides = [], []
    for columns, stride in zip(rules.level_columns, rules.strides, strict=True):
        rows, places = np.divmod(np.arange(columns * columns), columns)
        centres.append(np.stack([places, rows]).astype(np.float32) + np.float32(0.5))
        strides.append(np.full(columns * columns, stride, np.float32))
    return np.concatenate(centres, axis=1), np.concatenate(strides)


def head_arrays(
    rules: Rules,
    distances: Float32[np.ndarray, "sides a"],
    logits: Float32[np.ndarray, "c a"],
    mask_coefficients: Float32[np.ndarray, "k a"] | None = None,
    prototypes: Float32[np.ndarray, "k h w"] | None = None,
    semantic: Float32[np.ndarray, "c rows columns"] | None = None,
    sides: Float32[np.ndarray, "4 a"] | None = None,
    root_scores: Float32[np.ndarray, "c a"] | None = None,
) -> HeadArrays:
    """The head of one image, decoded; raises ValueError for other anchors than the rules have.

    Whoever has the tensors gives `sides`, the distances in grid cells, and `root_scores` as the
    stock criterion computes them: where the network says the same at many places, two anchors fit
    a target equally well but for the last bit, which then decides.
    """
    from tasks.compute.losses.kernels.masks import unmatched_sum

    centres, strides = anchor_grid(rules)
    if distances.shape != (4 * rules.reg_max, strides.size) or logits.shape[1:] != strides.shape:
        raise ValueError(
            f"distances {distances.shape} and scores {logits.shape} do not fit {strides.size} "
            f"anchors of {rules.size_px} px and reg_max {rules.reg_max}: the letterboxed input "
            f"must be square and of the size that the criterion was made for"
        )
    logits = np.ascontiguousarray(logits, np.float32)
    distances = np.ascontiguousarray(distances, np.float32)
    sides = _sides(distances, rules.reg_max) if sides is None else sides
    boxes = np.concatenate([centres - sides[:2], centres + sides[2:]])
    boxes_px = boxes * strides
    nothing = np.zeros((0, 0), np.float32)
    flat = nothing if semantic is None else _contiguous(semantic).reshape(len(semantic), -1)
    return HeadArrays(
        logits=logits,
        root_scores=np.sqrt(_sigmoid(logits)) if root_scores is None else root_scores,
        unmatched_sum=unmatched_sum(logits.reshape(-1)),
        distances=distances,
        log_norms=_log_norms(distances, rules.reg_max),
        boxes=boxes,
        boxes_px=boxes_px,
        ratio_angles=ratio_angles(boxes_px.T),
        mask_coefficients=nothing if mask_coefficients is None else _contiguous(mask_coefficients),
        prototypes=nothing[None] if prototypes is None else _contiguous(prototypes),
        semantic=flat,
        semantic_unmatched_sum=unmatched_sum(flat.reshape(-1)),
        semantic_sums=_sigmoid(flat).sum(axis=1, dtype=np.float64),
    )


def ratio_angles(boxes_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """The arctangent of width / height of boxes (n, 4), rounded once, as CIoU compares them."""
    wide = boxes_px[:, 2] - boxes_px[:, 0]
    high = boxes_px[:, 3] - boxes_px[:, 1] + np.float32(1e-7)
    with np.errstate(divide="ignore", invalid="ignore"):  # a head may turn a box inside out
        return np.asarray(np.arctan((wide / high).astype(np.float64)), np.float32)


def _contiguous(array: Array) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # e^x of a large x is inf, and its probability 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _sides(distances: NDArray[np.float32], reg_max: int) -> NDArray[np.float32]:
    """The four distances of each anchor in grid cells."""
    if reg_max == 1:
        return distances
    powers, _ = _powers(distances, reg_max)
    places = np.arange(reg_max, dtype=np.float32)
    shares = powers / powers.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("sra,r->sa", shares, places), np.float32)


def _log_norms(distances: NDArray[np.float32], reg_max: int) -> NDArray[np.float32]:
    """The logsumexp (4, anchors) of the bins of each distance; 0 where there are none."""
    if reg_max == 1:
        return np.zeros((4, distances.shape[1]), np.float32)
    powers, top = _powers(distances, reg_max)
    return np.asarray(np.log(powers.sum(axis=1)) + top, np.float32)


def _powers(
    distances: NDArray[np.float32], reg_max: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The bins (4, reg_max, anchors) as powers of e, the largest of each side, (4, anchors), 1."""
    bins = distances.reshape(4, reg_max, -1)
    top = bins.max(axis=1)
    powers = bins - top[:, None]
    return np.exp(powers, out=powers), top
