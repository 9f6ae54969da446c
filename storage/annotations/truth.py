"""What is known to be in images: boxes, classes and masks, and what label files said in vain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.annotations.rle import Rle

Action = Literal["refused", "clipped"]


@dataclass(frozen=True, eq=False)
class Truth:
    """The objects of one image; none of them means that it is known to be empty."""

    boxes_px: NDArray[np.float32]
    """(n, 4) x1, y1, x2, y2 in pixels of the upright image, inside it, x1 < x2 and y1 < y2."""
    class_ids: NDArray[np.int64]
    """(n,) places in `Annotations.names`."""
    masks: tuple[Rle | None, ...]
    """n masks at the size of the upright image; None where only the box is known."""

    def __post_init__(self) -> None:
        count = len(self.class_ids)
        shapes = self.boxes_px.shape, self.class_ids.shape, len(self.masks)
        if shapes != ((count, 4), (count,), count):
            raise ValueError(f"boxes, classes and masks do not fit each other: {shapes}")

    def __len__(self) -> int:
        return len(self.class_ids)

    @classmethod
    def of(cls, objects: Sequence[tuple[Sequence[float], int, Rle | None]]) -> "Truth":
        """Return the truth of (box, class, mask) triples, in their order."""
        return cls(
            np.array([box for box, _, _ in objects], dtype=np.float32).reshape(-1, 4),
            np.array([class_id for _, class_id, _ in objects], dtype=np.int64),
            tuple(mask for _, _, mask in objects),
        )


class Fault(NamedTuple):
    """Something in a label file that could not be taken as it stands."""

    file: str
    """The label file, as a uri relative to the labels' folder."""
    line: int | None
    """Its line or, in JSON, the annotation's id; None where the whole file is meant."""
    action: Action
    """ "refused": the object (or the file) is not there; "clipped": it was cut at the border."""
    reason: str
    """A word or two that can be counted, a colon, and the particulars."""


class Annotations:
    """The ground truth of images, by the sha256 of their content."""

    def __init__(
        self,
        names: Sequence[str],
        truths: Mapping[str, Truth],
        faults: Sequence[Fault] = (),
        superclasses: Sequence[str] | None = None,
    ) -> None:
        if superclasses is not None and len(superclasses) != len(names):
            raise ValueError(f"{len(superclasses)} superclasses for {len(names)} classes")
        self.names: tuple[str, ...] = tuple(names)
        """The classes; an object's class id is a place in here."""
        self.superclasses = None if superclasses is None else tuple(superclasses)
        """The superclass of every class, by name, None where there are none."""
        self._truths = truths
        self._faults = tuple(faults)

    def __len__(self) -> int:
        """Return of how many images something is known."""
        return len(self._truths)

    @property
    def contents(self) -> tuple[str, ...]:
        """The sha256s of the images of which something is known, sorted."""
        return tuple(sorted(self._truths))

    def of(self, sha256: str) -> Truth | None:
        """Return what is in an image; None when nothing is known of it."""
        return self._truths.get(sha256)

    def faults(self) -> tuple[Fault, ...]:
        """Return what label files said in vain, each with its reason."""
        return self._faults
