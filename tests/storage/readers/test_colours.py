"""Colour profiles, applied where that is asked for."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from storage.readers.pixels import decode


def png(profile: bytes | None, mode: str = "RGB") -> bytes:
    out = BytesIO()
    Image.new(mode, (4, 4), (200, 100, 50, 255)[: len(mode)] if mode != "L" else 100).save(
        out, "PNG", icc_profile=profile
    )
    return out.getvalue()


def colour(data: bytes, *, to_srgb: bool) -> tuple[int, ...]:
    image = decode(data, max_megapixels=1, to_srgb=to_srgb)
    return tuple(np.asarray(image)[0, 0].tolist())


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def test_numbers_are_kept_unless_their_meaning_is_asked_for() -> None:
    data = png(_swapped())
    assert colour(data, to_srgb=False) == (200, 100, 50)
    assert colour(data, to_srgb=True) != (200, 100, 50)


def _swapped() -> bytes:
    """Return sRGB under another name, its red and blue primaries exchanged."""
    data = profile("sRGB").replace(b"s\0R\0G\0B", b"s\0W\0A\0P").replace(b"sRGB", b"SWAP")
    return data.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_photo_in_srgb_is_not_touched(mode: str) -> None:
    assert colour(png(profile("sRGB"), mode), to_srgb=True) == (200, 100, 50)


@pytest.mark.parametrize("broken", [b"no profile", profile("sRGB")[:200]])
def test_a_broken_profile_changes_nothing(broken: bytes) -> None:
    assert colour(png(broken), to_srgb=True) == (200, 100, 50)


def test_a_profile_of_other_colours_than_the_image_has_changes_nothing() -> None:
    assert colour(png(profile("LAB")), to_srgb=True) == (200, 100, 50)
