"""Images to measure with: generated, or cut from the photographs that ship with the packages."""

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conf.sources.sample_photos import Source
from storage.dataset import open_rows
from storage.readers.pixels import decode

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_HOUR_SECONDS = 3600


def write_patterns(folder: Path, count: int, side_px: int) -> None:
    """Write `count` different square JPEGs, a hundred to a folder, last changed an hour ago."""
    random = np.random.default_rng(count)
    for number in range(count):
        coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
        image = Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC)
        _write_old(folder / f"{number // 100:03d}" / f"{number:06d}.jpg", image, quality=75)


def write_photos(folder: Path, count: int, size_px: tuple[int, int], *, max_bytes: int) -> None:
    """Write `count` different JPEGs of `size_px` (width, height), each of at most `max_bytes`.

    They are random crops of real photographs, so they are as hard to decode as photographs are.
    """
    random = np.random.default_rng(count)
    for number in range(count):
        photo = _photographs()[number % len(_photographs())]
        crop = photo.resize(size_px, Image.Resampling.BICUBIC, box=_crop(random, photo, size_px))
        path = folder / f"{number:06d}.jpg"
        for quality in (90, 80, 65, 50, 35):
            _write_old(path, crop, quality=quality)
            if path.stat().st_size <= max_bytes:
                break


def _crop(
    random: np.random.Generator, photo: Image.Image, size_px: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return a box in `photo`, as wide to high as `size_px`, over half of what there is or more."""
    largest = min(photo.width / size_px[0], photo.height / size_px[1])
    scale = largest * random.uniform(0.5, 1)
    width_px, height_px = size_px[0] * scale, size_px[1] * scale
    left_px = random.uniform(0, photo.width - width_px)
    top_px = random.uniform(0, photo.height - height_px)
    return left_px, top_px, left_px + width_px, top_px + height_px


@cache
def _photographs() -> tuple[Image.Image, ...]:
    rows = open_rows(Source())
    return tuple(decode(rows.read(entry.uri), max_megapixels=100) for entry in rows.entries())


def _write_old(path: Path, image: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    then = time.time() - _HOUR_SECONDS  # of a file written a moment ago no stamp is believed
    os.utime(path, (then, then))


def digit_images() -> Iterator[Pixels]:
    """Yield scikit-learn's 1,797 handwritten digits, (8, 8) from 0 to 255."""
    from sklearn.datasets import load_digits

    for levels in load_digits().images:
        yield np.rint(levels * (255 / 16)).astype(np.uint8)


def write_digits(folder: Path, images: Iterator[Pixels] | list[Pixels], start: int = 0) -> None:
    """Write `images` as PNG files, numbered from `start`."""
    for number, pixels in enumerate(images, start):
        _write_old(folder / f"{number:06d}.png", Image.fromarray(pixels))
