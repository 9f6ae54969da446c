"""From what a head puts out to detections: which boxes, how sure, of which class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.detections import Thresholds
from tasks.models.yolo.heads import Raw

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
_MARGIN = 1e-3  # of a logit: what a coarse first look lets through too much


@dataclass(frozen=True, eq=False)
class Predictions:
    """The detections of one image, the most confident first."""

    boxes_px: Float32
    """(n, 4) x1, y1, x2, y2 in pixels of the square; they may reach out of it."""
    confidence: Float32
    """(n,) from 0 to 1."""
    class_ids: Int64
    """(n,) places in the model's names."""
    mask_coefficients: Float32 | None = None
    """(n, 32): what each prototype adds to the mask."""

    def __len__(self) -> int:
        return len(self.class_ids)

    def take(self, rows: NDArray[Any]) -> "Predictions":
        """Return the detections at `rows`, places or one boolean each."""
        masks = self.mask_coefficients
        return Predictions(
            self.boxes_px[rows],
            self.confidence[rows],
            self.class_ids[rows],
            None if masks is None else masks[rows],
        )


@dataclass(frozen=True, eq=False)
class Anchors:
    """The places that a head predicts at."""

    points: Float32
    """(A, 2) x and y of each, in strides of its level."""
    strides_px: Float32
    """(A,)."""

    @classmethod
    def of(cls, size_px: int, strides_px: tuple[int, ...]) -> "Anchors":
        """Return the anchors of a square: the middle of every cell, level by level."""
        points, strides = [], []
        for stride in strides_px:
            side = np.arange(size_px // stride, dtype=np.float32) + np.float32(0.5)
            y, x = np.meshgrid(side, side, indexing="ij")
            points.append(np.stack([x.ravel(), y.ravel()], axis=1))
            strides.append(np.full(side.size**2, stride, dtype=np.float32))
        return cls(np.concatenate(points), np.concatenate(strides))


def predict(
    raw: Raw, image: int, anchors: Anchors, reg_max: int, thresholds: Thresholds
) -> Predictions:
    """Return the detections of one image by the rules of its head."""
    branch = raw.branch
    scores = branch["scores"][image]
    least = float(np.log(thresholds.conf / (1 - thresholds.conf))) - _MARGIN
    rows = (scores.amax(0) > least).nonzero().flatten()
    logits = scores[:, rows].float().cpu().numpy()
    confidence = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32).T
    if "one2one" in raw.outputs:
        at, classes = _likeliest(confidence, thresholds)
    else:
        at, classes = np.arange(len(confidence)), confidence.argmax(axis=1)
        at = at[confidence[at, classes] > thresholds.conf]
        classes = classes[at]
    kept = rows[_like(at, rows)]
    places = kept.cpu().numpy()
    found = Predictions(
        _decode(branch["boxes"][image][:, kept].float().cpu().numpy(), anchors, places, reg_max),
        confidence[at, classes],
        classes.astype(np.int64),
    )
    chosen = _without_doubles(found, thresholds) if "one2one" not in raw.outputs else None
    found = found if chosen is None else found.take(chosen)
    if "proto" not in branch:
        return found
    kept = kept if chosen is None else kept[_like(chosen, rows)]
    masks = branch["mask_coefficient"][image][:, kept].float().cpu().numpy().T
    return Predictions(
        found.boxes_px, found.confidence, found.class_ids, np.ascontiguousarray(masks)
    )


def _like(rows: NDArray[Any], tensor: Any) -> Any:
    import torch

    return torch.as_tensor(rows, device=tensor.device)


def _likeliest(confidence: Float32, thresholds: Thresholds) -> tuple[Int64, Int64]:
    """Return (row, class) pairs of an end-to-end head: of the `max_det` anchors with the best
    class, the `max_det` best pairs. An anchor may be of two classes."""
    best = np.argsort(-confidence.max(axis=1, initial=0), kind="stable")[: thresholds.max_det]
    among = confidence[best]
    order = np.argsort(-among, axis=None, kind="stable")[: thresholds.max_det]
    order = order[among.ravel()[order] > thresholds.conf]
    rows, classes = np.unravel_index(order, among.shape)
    return best[rows], classes.astype(np.int64)


def _decode(boxes: Float32, anchors: Anchors, places: Int64, reg_max: int) -> Float32:
    """Return boxes (n, 4) in pixels of the square from what the head says at `places`."""
    sides = boxes.reshape(4, reg_max, -1)
    if reg_max > 1:
        shifted = np.exp(sides - sides.max(axis=1, keepdims=True))
        shares = shifted / shifted.sum(axis=1, keepdims=True)
        distances = np.einsum("sra,r->as", shares, np.arange(reg_max, dtype=np.float32))
    else:
        distances = sides[:, 0].T
    points = anchors.points[places]
    corners = np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
    return (corners * anchors.strides_px[places, None]).astype(np.float32)


def _without_doubles(found: Predictions, thresholds: Thresholds) -> Int64:
    """Return which detections stay: no two of one class overlap by more than `iou`."""
    import torch
    from torchvision.ops import nms

    kept: list[Int64] = []
    for class_id in np.unique(found.class_ids):
        rows = np.flatnonzero(found.class_ids == class_id)
        boxes, scores = (torch.from_numpy(a[rows]) for a in (found.boxes_px, found.confidence))
        kept.append(rows[nms(boxes, scores, thresholds.iou).numpy()])
    rows = np.sort(np.concatenate(kept)) if kept else np.empty(0, np.int64)
    order = np.argsort(-found.confidence[rows], kind="stable")
    return rows[order[: thresholds.max_det]]
