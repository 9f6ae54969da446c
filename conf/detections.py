"""Detections: what a detection or segmentation model says of images, and what decides it."""

from typing import ClassVar

from pydantic import Field, field_validator

from conf.annotations import AnyLabels
from conf.dataset import AnySource
from conf.keys import Frozen, Recipe
from conf.models import ModelSpec

STRIDE_PX = 32
"""The coarsest stride of the models: the square's side is a multiple of it."""


class Thresholds(Frozen):
    """Which of the boxes that a head gives are detections."""

    conf: float = Field(default=0.25, gt=0, lt=1)
    """A detection is more confident than this."""
    iou: float = Field(default=0.7, gt=0, le=1)
    """Of two of one class that overlap more than this, the less confident goes. End-to-end heads
    need no such rule."""
    max_det: int = Field(default=300, ge=1)
    """The most detections of an image: the most confident ones."""


class Looking(Frozen):
    """How a model looks at images, and what is kept of what it saw."""

    size_px: int = Field(default=640, ge=STRIDE_PX)
    """The side of the square that images are letterboxed into."""
    thresholds: Thresholds = Thresholds()
    layers: tuple[int, ...] = ()
    """Places in the model of the layers whose features are kept; empty: those that feed the head.
    The mean of the last one over its map is the image's embedding."""
    bottleneck_blob: bool = False
    """Whether embeddings.db holds the feature maps too, and not only the HDF5 parts."""

    @field_validator("size_px")
    @classmethod
    def _is_a_multiple(cls, size_px: int) -> int:
        if size_px % STRIDE_PX:
            below = size_px - size_px % STRIDE_PX
            raise ValueError(
                f"the side of the square is a multiple of {STRIDE_PX} px, such as {below} or "
                f"{below + STRIDE_PX}"
            )
        return size_px

    @field_validator("layers")
    @classmethod
    def _are_places(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(layers)) != len(layers) or any(layer < 0 for layer in layers):
            raise ValueError("layers are different places in the model, counted from 0")
        return layers


class DetectionRecipe(Looking, Recipe):
    """Features, detections, losses and metrics of images, of one pass of the model; the input
    `content` says of which images, `annotations` (where there is any) what is in them."""

    kind: ClassVar[str] = "detections"
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content", "annotations"})
    # A row is an image together with what is known to be in it (`storage.detections.row_of`): so
    # rows are taken over one by one although both inputs change.

    model: ModelSpec
    """The model; family "yolo"."""


class Preset(Looking):
    """The settings of flow `detections`: look at a source with a model."""

    source: AnySource
    labels: AnyLabels | None = None
    """What is known of the images; None: losses and metrics are null."""
    model: ModelSpec
