"""Colour profiles: what an image's numbers mean, said in sRGB."""

from collections.abc import Callable
from io import BytesIO

from PIL import Image, ImageCms

_PROFILED = frozenset({"RGB", "CMYK", "L"})


def in_srgb(image: Image.Image, to_rgb: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return `image` in mode RGB, its embedded profile applied; `to_rgb` converts what has none.

    A profile that is broken, or says sRGB, changes nothing.
    """
    profile = _profile(image)
    if profile is None:
        return to_rgb(image)
    plain = image if image.mode in _PROFILED else to_rgb(image)
    try:
        turned = ImageCms.profileToProfile(
            plain,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):  # a profile of other colours than these
        return to_rgb(image)
    return turned if turned is not None else to_rgb(image)


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        name = ImageCms.getProfileDescription(profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if "sRGB" in name else profile
