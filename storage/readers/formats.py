"""What is read and what is not, by first bytes and by size; nothing is decoded here."""

import struct

IMAGE_FORMATS = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF"})
"""The image formats that are read."""
ARRAY_FORMAT = "NPY"
"""One array in NumPy's file format: the content of sources that hold arrays, and of those only."""
HEAD_BYTES = 64
"""So many first bytes are enough for `recognise`."""
PROBE_VERSION = 1
"""Raised by hand when `pixels.probe` comes to another verdict on the same bytes."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"\x93NUMPY": ARRAY_FORMAT,
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"8BPS": "PSD",
}
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_BMP_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)


def recognise(head: bytes) -> str | None:
    """Return the name of the image format that `head` starts, None when it starts none.

    Names formats that are not read too, so that they can be told from what is no image.
    """
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    return "BMP" if _is_bmp(head) else None


def may_be_image(head: bytes) -> bool:
    """Whether `head` starts an image file, of a format that is read or not."""
    return recognise(head) not in (None, ARRAY_FORMAT)


def _by_brands(head: bytes) -> str | None:
    """Return the format of an ISO media file: videos begin like HEIF and AVIF images do."""
    length_bytes = min(int.from_bytes(head[:4], "big"), HEAD_BYTES)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, length_bytes - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & (_HEIF_BRANDS | {b"mif1", b"msf1"}) else None


def _is_bmp(head: bytes) -> bool:
    """Whether it is a bitmap: two letters alone would take many a text for one."""
    if head[:2] != b"BM" or len(head) < 18:
        return False
    return struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_BYTES


def too_large(width_px: int, height_px: int, max_megapixels: float) -> str | None:
    """Return the reason why so many pixels are not decoded, None when they are."""
    if width_px * height_px <= max_megapixels * 1e6:
        return None
    megapixels = width_px * height_px / 1e6
    return f"too large: {megapixels:.1f} megapixels, the limit is {max_megapixels:g}"
