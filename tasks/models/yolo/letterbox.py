"""The letterbox: an image of any shape, centred in a grey square, and the way back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

GREY = 114
_GREY_SHARE = GREY / np.float32(255)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where an image lies in its square."""

    size_px: int
    """The side of the square."""
    ratio: float
    """Pixels of the square for a pixel of the image."""
    left_px: int
    top_px: int
    """Grey columns and rows before the image."""
    height_px: int
    width_px: int
    """The size of the image itself."""

    @classmethod
    def of(cls, height_px: int, width_px: int, size_px: int) -> "Frame":
        """Return the frame of an image: as large as it fits, in the middle, nothing cut off."""
        ratio = min(size_px / height_px, size_px / width_px)
        height, width = _fitted(height_px, ratio), _fitted(width_px, ratio)
        left, top = round((size_px - width) / 2 - 0.1), round((size_px - height) / 2 - 0.1)
        return cls(size_px, ratio, left, top, height_px, width_px)

    @property
    def inner(self) -> tuple[slice, slice]:
        """The rows and columns of the square that the image fills."""
        height, width = _fitted(self.height_px, self.ratio), _fitted(self.width_px, self.ratio)
        rows = slice(self.top_px, self.top_px + height)
        return rows, slice(self.left_px, self.left_px + width)

    def to_square(self, boxes_px: NDArray[Any]) -> Float32:
        """Return boxes (n, 4) of the image in pixels of the square."""
        offset = np.array([self.left_px, self.top_px] * 2, dtype=np.float64)
        return (boxes_px * self.ratio + offset).astype(np.float32)

    def to_image(self, boxes_px: NDArray[Any]) -> Float32:
        """Return boxes (n, 4) of the square in pixels of the image, cut at its border."""
        offset = np.array([self.left_px, self.top_px] * 2, dtype=np.float64)
        edge = np.array([self.width_px, self.height_px] * 2, dtype=np.float64)
        return np.clip((boxes_px - offset) / self.ratio, 0, edge).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Letterboxed(Frame):
    """An image in its square."""

    pixels: Float32
    """(3, size, size), red, green and blue from 0 to 1."""


def letterbox(rgb: NDArray[np.uint8], size_px: int, out: Float32 | None = None) -> Letterboxed:
    """Return `rgb`, (height, width, 3), in a square: bilinear, centred on grey, never cut.

    The pixels are those of Ultralytics' LetterBox (auto=False, scaleup=True). They are written into
    `out`, (3, size, size), where one is given, such as a place in a batch.
    """
    import cv2

    height_px, width_px = rgb.shape[:2]
    frame = Frame.of(height_px, width_px, size_px)
    rows, columns = frame.inner
    shape = rows.stop - rows.start, columns.stop - columns.start
    if shape != (height_px, width_px):
        rgb = cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    pixels = np.empty((3, size_px, size_px), np.float32) if out is None else out
    pixels[:, : rows.start] = pixels[:, rows.stop :] = _GREY_SHARE
    pixels[:, rows, : columns.start] = pixels[:, rows, columns.stop :] = _GREY_SHARE
    for plane, channel in zip(cv2.split(rgb), pixels, strict=True):
        np.divide(plane, np.float32(255), out=channel[rows, columns])
    return Letterboxed(**vars(frame), pixels=pixels)


def _fitted(side_px: int, ratio: float) -> int:
    return max(round(side_px * ratio), 1)
