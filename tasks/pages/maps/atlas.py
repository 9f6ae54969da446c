"""The pictures of a page, packed as tiles into sheets: one JPEG for 256 points, not one for each.

A small JPEG is mostly tables; in a sheet they are written once. A sheet is decoded when the first
of its tiles is looked at, so that a page with many opens at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int32, Int64

from tasks.pages.maps.view import Thumbnails

if TYPE_CHECKING:
    from PIL.Image import Image

ACROSS = 16
_PER_SHEET = ACROSS * ACROSS
_TILES_PX = (96, 64, 48, 32)  # multiples of JPEG's blocks of 16: no tile bleeds into the next
_GREY = (128, 128, 128)
_SPARE = 1.05  # sheets differ from the sample that foretells their size


@dataclass(frozen=True, eq=False)
class Atlas:
    """Sheets of tiles and where each point's picture is."""

    tile_px: int
    slots: Int32[np.ndarray, " points"]
    """Sheet * 256 + tile of the sheet; -1 for a point without picture."""
    sheets: tuple[bytes, ...]
    note: str | None = None
    """What had to be left out, and why."""


def pack(thumbnails: Thumbnails, points: int, limit_bytes: int) -> Atlas:
    """Return the pictures of all points in the largest tiles that fit into `limit_bytes` of base64.

    Where not even the smallest fit, as many points as do get one, evenly drawn. A limit of 0 packs
    nothing.
    """
    sample = np.linspace(0, points - 1, min(points, _PER_SHEET)).astype(np.int64)
    seen = [image for _, image in _pictures(thumbnails, sample, _TILES_PX[0])]
    if not seen or limit_bytes <= 0:
        told = "the page was made without pictures: their limit is 0 bytes" if seen else None
        return Atlas(_TILES_PX[0], np.full(points, -1, np.int32), (), told)
    expected = points * len(seen) / len(sample)
    sizes = {px: _in_file(_sheet(seen, px)) / len(seen) * expected * _SPARE for px in _TILES_PX}
    fitting = [px for px, size in sizes.items() if size <= limit_bytes]
    tile_px = fitting[0] if fitting else _TILES_PX[-1]
    order = np.arange(points) if fitting else np.random.default_rng(0).permutation(points)
    return _packed(thumbnails, order.astype(np.int64), tile_px, limit_bytes)


def _packed(
    thumbnails: Thumbnails, order: Int64[np.ndarray, " points"], tile_px: int, limit_bytes: int
) -> Atlas:
    slots = np.full(len(order), -1, np.int32)
    sheets: list[bytes] = []
    used = 0
    for batch in _batches(_pictures(thumbnails, order, tile_px)):
        sheet = _sheet([image for _, image in batch], tile_px)
        used += _in_file(sheet)
        if used > limit_bytes:
            return Atlas(tile_px, slots, tuple(sheets), _left_out(slots, limit_bytes))
        numbers = [point for point, _ in batch]
        slots[numbers] = len(sheets) * _PER_SHEET + np.arange(len(batch))
        sheets.append(sheet)
    return Atlas(tile_px, slots, tuple(sheets))


def _left_out(slots: Int32[np.ndarray, " points"], limit_bytes: int) -> str:
    return (
        f"{np.count_nonzero(slots >= 0):,} of {len(slots):,} points have a picture: more do not "
        f"fit into the {limit_bytes / 1e6:,.0f} MB that pictures may take"
    )


def _pictures(
    thumbnails: Thumbnails, points: Int64[np.ndarray, " points"], size_px: int
) -> Iterator[tuple[int, "Image"]]:
    from PIL import Image, ImageOps

    for point in points.tolist():
        jpeg = thumbnails(point)
        if jpeg is None:
            continue
        image = Image.open(BytesIO(jpeg))
        image.draft("RGB", (size_px, size_px))
        small = max(image.size) * 2 <= size_px  # what is enlarged much keeps its pixels
        how = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
        yield point, ImageOps.contain(image.convert("RGB"), (size_px, size_px), how)


def _batches(
    pictures: Iterator[tuple[int, "Image"]],
) -> Iterator[list[tuple[int, "Image"]]]:
    batch: list[tuple[int, Image]] = []
    for one in pictures:
        batch.append(one)
        if len(batch) == _PER_SHEET:
            yield batch
            batch = []
    if batch:
        yield batch


def _sheet(images: Sequence["Image"], tile_px: int) -> bytes:
    from PIL import Image, ImageOps

    down = -(-len(images) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * tile_px, down * tile_px), _GREY)
    for at, image in enumerate(images):
        fitted = ImageOps.contain(image, (tile_px, tile_px))
        left = at % ACROSS * tile_px + (tile_px - fitted.width) // 2
        top = at // ACROSS * tile_px + (tile_px - fitted.height) // 2
        sheet.paste(fitted, (left, top))
    out = BytesIO()
    sheet.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue()


def _in_file(sheet: bytes) -> int:
    return -(-len(sheet) // 3) * 4
