"""One image after the forward pass: its detections, losses and metrics."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.detections import DetectionRecipe
from storage.annotations.truth import Annotations, Truth
from storage.detections.parts import FLAGS, Found, ModelCard, packed
from tasks.compute.detections.masks import encode_within, grid_masks, image_mask
from tasks.compute.detections.metrics import (
    box_ious,
    distribution,
    match,
    most_frequent,
    scores,
)
from tasks.detections.truths import UNKNOWN, Classes, targets_in
from tasks.models.yolo.detector import Detector, Raw
from tasks.models.yolo.letterbox import Frame
from tasks.models.yolo.predictions import Predictions

Row = dict[str, Any]
_OF_MASKS = ("seg", "sem")


class Looker:
    """What a detector says of images, beside what is known of them."""

    def __init__(
        self, detector: Detector, recipe: DetectionRecipe, known: Annotations | None
    ) -> None:
        # Imported here: it brings numba, and a run of which all is stored needs none.
        from tasks.detections.losses import ImageLosses

        self.detector, self.recipe, self.known = detector, recipe, known
        self.classes = Classes.of(known, detector.names) if known else None
        self._image_losses = ImageLosses(detector)

    def card(self) -> ModelCard:
        """Return what the parts tell of the model."""
        return ModelCard(
            names=self.detector.names,
            head=self.detector.family,
            task=self.detector.task,
            components=self.detector.components,
            layers=self.detector.layers,
            fingerprint=self.detector.fingerprint,
        )

    def look(self, content: str, frame: Frame, raw: Raw, image: int) -> Found:
        """Return what is stored of the image at place `image` of a batch."""
        found = self.detector.predictions(raw, image, self.recipe.thresholds)
        boxes = frame.to_image(found.boxes_px)
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        found, boxes = found.take(inside), boxes[inside]  # what lies in the grey is in no image
        masks, grids = self._masks(frame, raw, image, found, boxes)
        truth = self.known.of(content) if self.known else None
        columns: Row = {
            "height_px": frame.height_px,
            "width_px": frame.width_px,
            "ratio": frame.ratio,
            "left_px": frame.left_px,
            "top_px": frame.top_px,
            "detections": len(found),
            "category_distribution": json.dumps(distribution(found.class_ids)),
            **self._judged(found, boxes, masks, truth),
            **self._losses(frame, raw, image, truth),
        }
        return Found(
            content,
            columns,
            boxes,
            found.boxes_px,
            found.confidence,
            found.class_ids,
            masks,
            grids,
        )

    def _masks(
        self,
        frame: Frame,
        raw: Raw,
        image: int,
        found: Predictions,
        boxes: NDArray[np.float32],
    ) -> tuple[list[NDArray[np.int64] | None], NDArray[np.uint8] | None]:
        if found.mask_coefficients is None:
            return [None] * len(found), None
        proto = raw.branch["proto"][image].float().cpu().numpy()
        offset_px = (frame.left_px, frame.top_px)
        masks: list[NDArray[np.int64] | None] = []
        for coefficients, box in zip(found.mask_coefficients, boxes, strict=True):
            part, start = image_mask(coefficients, proto, box, frame.ratio, offset_px)
            masks.append(encode_within(part, start, frame.height_px, frame.width_px))
        return masks, packed(grid_masks(found.mask_coefficients, proto, found.boxes_px))

    def _judged(
        self,
        found: Predictions,
        boxes: NDArray[np.float32],
        masks: list[NDArray[np.int64] | None],
        truth: Truth | None,
    ) -> Row:
        if truth is None or self.classes is None:
            judged = scores(found.confidence, None, None, masks, ())
            return {"objects": None, **dict.fromkeys(FLAGS), **asdict(judged)}
        ious = box_ious(boxes, truth.boxes_px)
        matched = match(ious, found.class_ids, self.classes.in_model[truth.class_ids])
        true_masks = [None if rle is None else rle["counts"] for rle in truth.masks]
        judged = scores(found.confidence, matched, ious, masks, true_masks)
        return {"objects": len(truth), **self._flags(truth), **asdict(judged)}

    def _flags(self, truth: Truth) -> Row:
        assert self.classes is not None
        classes = self.classes
        category = most_frequent(truth.class_ids)
        in_super = classes.in_super
        above = None if in_super is None else most_frequent(in_super[truth.class_ids])
        return {
            "flag_cat": category,
            "flag_cat_name": None if category is None else classes.known[category],
            "flag_supercat": above,
            "flag_supercat_name": None if above is None else classes.super_names[above],
        }

    def _losses(self, frame: Frame, raw: Raw, image: int, truth: Truth | None) -> Row:
        """Return all columns of losses and why some that the head has are null."""
        if truth is None or self.classes is None:
            return {"reason": UNKNOWN}
        has_masks = self.detector.task == "segment"
        targets, reason = targets_in(frame, truth, self.classes, masks=has_masks)
        if targets is None:
            return {"reason": reason}
        if reason and self.detector.family == "26":
            return {"reason": f"{reason}; this head assigns by masks"}
        losses = self._image_losses.of(raw, image, targets)
        return {
            f"{name}_loss": None if reason and name in _OF_MASKS else value
            for name, value in losses.items()
        } | {"reason": reason}
