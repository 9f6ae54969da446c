"""Image bytes to RGB pixels, decided by content and never by name; every refusal has a reason.

Colour profiles are applied where that is asked for. The plugins of Pillow are called one by one, so
nothing global in it is set: not its registry of formats, not its pixel limit, not its tolerance of
truncated files.
"""

import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from conf.errors import FeaturemillError
from storage.readers import arrays
from storage.readers.colours import in_srgb
from storage.readers.formats import ARRAY_FORMAT, IMAGE_FORMATS, recognise, too_large

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPED = (5, 6, 7, 8)
_CONVERTIBLE = frozenset(
    {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16L", "I;16B"}
)
_CUT = re.compile(r"truncat|unexpected end|not enough|premature", re.IGNORECASE)
_LARGE_PX = 25_000_000
_one_large_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Probe:
    """What decoding would give."""

    width_px: int
    height_px: int
    format: str
    """ "JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF" or "NPY"."""


class Undecodable(FeaturemillError):
    """The bytes are no image that is read here; the same bytes never will be.

    `reason` starts with a word or two that can be counted ("truncated", "empty", "too large",
    "broken", "not an image", "unsupported format", "unsupported pixels"), a colon, and the
    particulars. `size_px` is (width, height) where only the size was in the way.
    """

    def __init__(self, reason: str, size_px: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.size_px = size_px


def decode(
    data: bytes,
    *,
    max_megapixels: float,
    formats: frozenset[str] = IMAGE_FORMATS,
    to_srgb: bool = False,
) -> Image.Image:
    """Return the image in mode RGB, upright as its EXIF orientation says.

    Of an animation or of many pages it is the first; 16 bits a channel are scaled to 8 (the upper
    byte), palettes and CMYK converted, transparency laid on white. With `to_srgb` the colours that
    an embedded profile means are kept, else the numbers. Thread-safe.
    Raises Undecodable, also for images of more than `max_megapixels` and other `formats`.
    """
    name = _format_of(data, formats)
    if name == ARRAY_FORMAT:
        return _array_image(data, max_megapixels)
    with _reasons():
        image = _open(name, data, max_megapixels)
        image.load()
        upright = _TURNS.get(_orientation(image))
        rgb = in_srgb(image, _rgb) if to_srgb else _rgb(image)
        return rgb if upright is None else rgb.transpose(upright)


def probe(data: bytes, *, max_megapixels: float, formats: frozenset[str] = IMAGE_FORMATS) -> Probe:
    """Return what `decode` would give, or raise what it would raise, for less work.

    All compressed data is read; a JPEG is rendered at an eighth of its size only.
    """
    name = _format_of(data, formats)
    if name == ARRAY_FORMAT:
        return Probe(*_array_image(data, max_megapixels).size, name)
    with _reasons():
        image = _open(name, data, max_megapixels)
        large = image.width * image.height > _LARGE_PX
        with _one_large_at_a_time if large else nullcontext():
            width_px, height_px = _checked_size(image)
    return Probe(width_px, height_px, name)


@contextmanager
def opened(
    data: bytes, *, max_megapixels: float, formats: frozenset[str] = IMAGE_FORMATS
) -> Iterator[ImageFile.ImageFile]:
    """Yield the image as its own plugin opens it: header and metadata, no pixels yet.

    What hostile bytes make it raise becomes Undecodable, as in `decode`. Not for arrays.
    """
    name = _format_of(data, formats - {ARRAY_FORMAT})
    with _reasons():
        yield _open(name, data, max_megapixels)


def _format_of(data: bytes, formats: frozenset[str]) -> str:
    if not data:
        raise Undecodable("empty: 0 bytes")
    name = recognise(data)
    if name is None:
        raise Undecodable(f"not an image: it starts with the bytes {data[:8].hex(' ')}")
    if name not in formats:
        raise Undecodable(f"unsupported format: {name}; read are {', '.join(sorted(formats))}")
    return name


def _open(name: str, data: bytes, max_megapixels: float) -> ImageFile.ImageFile:
    image = _opener(name)(BytesIO(data))
    _refuse_large(image.size, max_megapixels)
    return image


def _opener(name: str) -> Callable[[BytesIO], ImageFile.ImageFile]:
    match name:
        case "JPEG":
            return JpegImagePlugin.JpegImageFile
        case "PNG":
            return PngImagePlugin.PngImageFile
        case "WEBP":
            return WebPImagePlugin.WebPImageFile
        case "TIFF":
            return TiffImagePlugin.TiffImageFile
        case "BMP":
            return BmpImagePlugin.BmpImageFile
    from pillow_heif import HeifImageFile

    return HeifImageFile


def _checked_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    size_px = image.size
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
    else:
        image.load()
        size_px = image.size  # a TIFF turns itself upright, an HEIF may learn its size
    _refuse_pixels(image)
    return (size_px[1], size_px[0]) if _orientation(image) in _SWAPPED else size_px


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, OSError, EOFError, LookupError, TypeError, struct.error):
        return 1  # broken EXIF says nothing about the pixels
    return orientation if isinstance(orientation, int) else 1


def _rgb(image: Image.Image) -> Image.Image:
    _refuse_pixels(image)
    if image.mode.startswith("I;16"):
        image = _upper_bytes(image)
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bytes(image: Image.Image) -> Image.Image:
    """Return a grey image of 16 bits in 8; its transparent value, if any, becomes white."""
    values = np.asarray(image)
    upper = (values >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        upper[values == transparent] = 255
    return Image.fromarray(upper)


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _refuse_pixels(image: Image.Image) -> None:
    if image.mode not in _CONVERTIBLE:
        raise Undecodable(
            f"unsupported pixels: mode {image.mode}; its values have no range that all agree on"
        )


def _refuse_large(size_px: tuple[int, int], max_megapixels: float) -> None:
    if reason := too_large(*size_px, max_megapixels):
        raise Undecodable(reason, size_px)


def _array_image(data: bytes, max_megapixels: float) -> Image.Image:
    try:
        pixels = arrays.unpack(data)
    except ValueError as error:
        raise Undecodable(f"broken: {error}") from error
    _refuse_large((pixels.shape[1], pixels.shape[0]), max_megapixels)
    image = Image.fromarray(pixels)
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever hostile bytes make a decoder raise into a reason."""
    try:
        with _quiet:
            yield
    except (Undecodable, MemoryError, ImportError):
        raise
    except Exception as error:
        # Decoders raise nearly every kind of error there is; each means that these bytes are bad.
        raise Undecodable(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:120] or type(error).__name__
    cut = isinstance(error, EOFError) or _CUT.search(text)
    return f"{'truncated' if cut else 'broken'}: {text}"


class _Quiet:
    """Mutes the warnings of decoders while any thread decodes: what matters becomes a reason.

    `warnings.catch_warnings` alone is not safe with threads: the last to leave could restore
    what the first had set. Here the first thread enters it and the last one leaves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._catcher: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif|storage\.readers)\b")
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._catcher is not None:
                self._catcher.__exit__(None, None, None)
                self._catcher = None


_quiet = _Quiet()
