"""What a photo says of itself, in the words of the pipeline: camera, exposure, time and place."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from PIL import ExifTags, Image

from storage.readers.pixels import Undecodable, opened

UNKNOWN = "Unknown"
SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tiff", "BMP": ".bmp", "HEIF": ".heic",
}  # fmt: skip
_BROKEN = (SyntaxError, ValueError, OSError, EOFError, LookupError, TypeError, ZeroDivisionError)


def describe(data: bytes, *, max_megapixels: float) -> dict[str, Any]:
    """Return {"format", "exif", "owner", "orientation"} of a photo.

    "format" is the usual suffix of what the content is. What EXIF does not say is "Unknown", or
    None for `iso` and `gps`.
    """
    try:
        with opened(data, max_megapixels=max_megapixels) as image:
            return {"format": _suffix(image), **_facts(image)}
    except Undecodable:
        return {"format": UNKNOWN, "exif": _exif({}, {}, {}), "owner": None, "orientation": 1}


def _suffix(image: Image.Image) -> str:
    return SUFFIXES.get(image.format or "", f".{(image.format or 'unknown').lower()}")


def _facts(image: Image.Image) -> dict[str, Any]:
    try:
        exif = image.getexif()
        main, camera = dict(exif), dict(exif.get_ifd(ExifTags.IFD.Exif))
        place = dict(exif.get_ifd(ExifTags.IFD.GPSInfo))
    except _BROKEN:
        main, camera, place = {}, {}, {}
    owner = _words(main.get(ExifTags.Base.Artist)) or _words(main.get(ExifTags.Base.Copyright))
    orientation = main.get(ExifTags.Base.Orientation, 1)
    return {
        "exif": _exif(main, camera, place),
        "owner": owner or _words(camera.get(ExifTags.Base.CameraOwnerName)),
        "orientation": orientation if orientation in range(1, 9) else 1,
    }


def _exif(
    main: Mapping[int, Any], camera: Mapping[int, Any], place: Mapping[int, Any]
) -> dict[str, Any]:
    base = ExifTags.Base
    make, model = _words(main.get(base.Make)), _words(main.get(base.Model))
    name = (
        model
        if make and model and model.startswith(make)
        else " ".join(filter(None, (make, model)))
    )
    aperture, length = _number(camera.get(base.FNumber)), _number(camera.get(base.FocalLength))
    taken = camera.get(base.DateTimeOriginal) or main.get(base.DateTime)
    return {
        "camera": name or UNKNOWN,
        "lens": _words(camera.get(base.LensModel)) or UNKNOWN,
        "iso": _iso(camera.get(base.ISOSpeedRatings)),
        "aperture": f"f/{aperture:g}" if aperture else UNKNOWN,
        "shutter_speed": _shutter(_number(camera.get(base.ExposureTime))),
        "focal_length": f"{round(length)}mm" if length else UNKNOWN,
        "datetime": _words(taken) or UNKNOWN,
        "gps": _gps(place),
    }


def _words(value: Any) -> str:
    """Return a text without padding; other characters stay as they are, also hostile ones."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        with suppress(UnicodeError):  # Pillow reads all bytes as Latin-1; most beyond ASCII are not
            value = value.encode("latin-1").decode("utf-8")
    text = value.replace("\0", "").strip() if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode("utf-8")


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except _BROKEN:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _iso(value: Any) -> int | None:
    number = _number(value[0] if isinstance(value, tuple) and value else value)
    return None if number is None else int(number)


def _shutter(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return f"1/{round(1 / seconds)}" if seconds < 0.4 else f"{seconds:g}"


def _gps(place: Mapping[int, Any]) -> dict[str, float] | None:
    """Return {"latitude", "longitude"} in degrees, and "altitude" in metres where it is told."""
    tags = ExifTags.GPS
    latitude = _degrees(place.get(tags.GPSLatitude), place.get(tags.GPSLatitudeRef), "S", 90)
    longitude = _degrees(place.get(tags.GPSLongitude), place.get(tags.GPSLongitudeRef), "W", 180)
    if latitude is None or longitude is None:
        return None
    altitude = _number(place.get(tags.GPSAltitude))
    below = place.get(tags.GPSAltitudeRef) in (1, b"\x01")
    height = {} if altitude is None else {"altitude": -altitude if below else altitude}
    return {"latitude": latitude, "longitude": longitude, **height}


def _degrees(parts: Any, side: Any, negative: str, limit: int) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except _BROKEN:
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not (math.isfinite(value) and 0 <= value <= limit):
        return None
    return round(-value if _words(side).upper() == negative else value, 7)
