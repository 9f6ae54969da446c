"""From what label files say to ground truth: every object is admitted, clipped or refused with a
reason."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.annotations.rle import Rle, area_px, encode_filled
from storage.annotations.truth import Action, Annotations, Fault, Truth
from storage.dataset.ledger import Ledger

ROUNDING_PX = 1.0
"""So far may a box reach out of its image: label files round."""
_FARTHEST_PX = 1e7  # what is further out is a mistake, and would overflow
Box = tuple[float, float, float, float]
Ring = NDArray[np.float64]
_Object = tuple[Sequence[float], int, Rle | None]


class Image(NamedTuple):
    """An image of the dataset that labels may be about."""

    uri: str
    sha256: str
    width_px: int
    height_px: int


def images_of(ledger: Ledger) -> list[Image]:
    """Return the images of `ledger` that could be read, in its order."""
    return [
        Image(row.uri, row.sha256, row.width_px or 0, row.height_px or 0)
        for row in ledger.rows()
        if row.status == "ok" and row.sha256 is not None
    ]


class Labels:
    """What one label file says of one image, so far."""

    def __init__(self, collected: "Collected", image: Image, file: str) -> None:
        self._collected, self._image, self._file = collected, image, file
        self._objects: list[_Object] = []
        self._was_refused = False

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        return self._image.width_px, self._image.height_px

    def refuse(self, line: int | None, reason: str) -> None:
        """Take down why an object, or with no line the file, could not be taken."""
        self._was_refused = True
        self._collected.fault(self._file, line, "refused", reason)

    def add_box(self, line: int | None, class_id: int, box: Box, mask: Rle | None = None) -> None:
        """Take an object: its class and box (x1, y1, x2, y2 in pixels), perhaps its mask.

        It is refused when the class is not there, when the box is none, or lies outside the image.
        """
        reason = self._objection(class_id, box)
        if reason:
            self.refuse(line, reason)
            return
        inside = self._clipped(box)
        if max(abs(a - b) for a, b in zip(box, inside, strict=True)) > ROUNDING_PX:
            said = f"reaches out: the box {_said(box)} of an image of {self._size()}"
            self._collected.fault(self._file, line, "clipped", said)
        if mask is not None and not area_px(mask):
            self.refuse(line, "empty mask: no pixel's centre lies in it")
            return
        self._objects.append((inside, class_id, mask))

    def add_polygons(
        self, line: int | None, class_id: int, rings: Sequence[Ring], box: Box | None = None
    ) -> None:
        """Take an object of one or more polygons, each (n, 2) in pixels; the box is theirs, or the
        one given."""
        for ring in rings:
            if len(ring) < 3:
                self.refuse(line, f"polygon with {len(ring)} points: it needs three")
                return
            if not np.isfinite(ring).all():
                self.refuse(line, "not a number: a polygon's coordinate")
                return
            if np.abs(ring).max() > _FARTHEST_PX:
                self.refuse(line, f"outside the image: a point at {np.abs(ring).max():g} px")
                return
        if not rings:
            self.refuse(line, "no polygon: the object has neither points nor runs")
            return
        points = np.concatenate(rings)
        low, high = points.min(axis=0), points.max(axis=0)
        around = box or (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        if reason := self._objection(class_id, around):
            self.refuse(line, reason)
            return
        width_px, height_px = self.size_px
        self.add_box(line, class_id, around, encode_filled(rings, height_px, width_px))

    def close(self) -> None:
        """Keep what was taken. An image all whose objects were refused is not known to be empty."""
        if self._objects or not self._was_refused:
            self._collected.keep(
                self._image, self._file, Truth.of(sorted(self._objects, key=_order))
            )

    def _objection(self, class_id: int, box: Box) -> str | None:
        classes = len(self._collected.names)
        if not 0 <= class_id < classes:
            return f"class out of range: {class_id}, the classes are 0 to {classes - 1}"
        if not all(math.isfinite(edge) for edge in box):
            return "not a number: an edge of the box"
        if (farthest := max(box, key=abs)) and abs(farthest) > _FARTHEST_PX:
            return f"outside the image: an edge of the box at {farthest:g} px"
        x1, y1, x2, y2 = box
        if x2 <= x1 or y2 <= y1:
            return f"empty box: {_said(box)}"
        left, top, right, bottom = self._clipped(box)
        if right <= left or bottom <= top:
            return f"outside the image: the box {_said(box)} of an image of {self._size()}"
        return None

    def _clipped(self, box: Box) -> Box:
        width_px, height_px = self.size_px
        x1, y1, x2, y2 = (np.float32(edge) for edge in box)
        return (
            float(np.clip(x1, 0, width_px)),
            float(np.clip(y1, 0, height_px)),
            float(np.clip(x2, 0, width_px)),
            float(np.clip(y2, 0, height_px)),
        )

    def _size(self) -> str:
        return "{} x {} px".format(*self.size_px)


class Collected:
    """What all label files say, so far."""

    def __init__(self, names: Sequence[str], superclasses: Sequence[str] | None = None) -> None:
        self.names = tuple(names)
        self._superclasses = superclasses
        self._truths: dict[str, Truth] = {}
        self._files: dict[str, tuple[str, str]] = {}
        self._faults: list[Fault] = []

    def fault(self, file: str, line: int | None, action: Action, reason: str) -> None:
        """Take down what a file says in vain."""
        self._faults.append(Fault(file, line, action, reason))

    def of(self, image: Image, file: str) -> Labels:
        """Return a place for what `file` says of `image`; to be closed."""
        return Labels(self, image, file)

    def keep(self, image: Image, file: str, truth: Truth) -> None:
        """Keep what is in `image`. Two files about the same content must say the same."""
        known = self._truths.get(image.sha256)
        if known is None:
            self._truths[image.sha256] = truth
            self._files[image.sha256] = file, image.uri
        elif not _same(known, truth):
            other, uri = self._files[image.sha256]
            self.fault(
                file, None, "refused",
                f"contradiction: {image.uri} is the same image as {uri}, of which {other} says "
                "something else",
            )  # fmt: skip

    def annotations(self) -> Annotations:
        """Return all of it."""
        return Annotations(self.names, self._truths, self._faults, self._superclasses)


def _order(found: _Object) -> tuple[int, list[float], list[int]]:
    """Order objects by what they are, so that the same truth is the same rows in any format."""
    box, class_id, mask = found
    return class_id, list(box), mask["counts"] if mask else []


def _same(one: Truth, other: Truth) -> bool:
    return (
        np.array_equal(one.boxes_px, other.boxes_px)
        and np.array_equal(one.class_ids, other.class_ids)
        and one.masks == other.masks
    )


def _said(box: Box) -> str:
    return "({:.1f}, {:.1f}, {:.1f}, {:.1f})".format(*box)
