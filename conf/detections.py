"""Detections: what a detection or segmentation model says of images, and what decides it."""

from pydantic import Field

from conf.keys import Frozen


class Thresholds(Frozen):
    """Which of the boxes that a head gives are detections."""

    conf: float = Field(default=0.25, gt=0, lt=1)
    """A detection is more confident than this."""
    iou: float = Field(default=0.7, gt=0, le=1)
    """Of two of one class that overlap more than this, the less confident goes. End-to-end heads
    need no such rule."""
    max_det: int = Field(default=300, ge=1)
    """The most detections of an image: the most confident ones."""
