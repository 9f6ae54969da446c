import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from storage.readers import arrays
from storage.readers.formats import ARRAY_FORMAT, IMAGE_FORMATS
from storage.readers.pixels import Probe, Undecodable, decode, probe

RED = (250, 10, 20)
BROKEN_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
AS_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def noise(height_px: int = 48, width_px: int = 64, channels: int = 3) -> Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (height_px, width_px, channels), np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[..., 0])


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def opened(data: bytes, **options: Any) -> Image.Image:
    """Decode, having made sure that the probe promises just what comes."""
    image = decode(data, max_megapixels=100, **options)
    found = probe(data, max_megapixels=100, **options)
    assert (found.width_px, found.height_px) == image.size
    assert image.mode == "RGB"
    return image


def refusal(data: bytes, max_megapixels: float = 100, **options: Any) -> str:
    """Return the reason for a refusal, having made sure that probe and decode give the same."""
    with pytest.raises(Undecodable) as probed:
        probe(data, max_megapixels=max_megapixels, **options)
    with pytest.raises(Undecodable) as decoded:
        decode(data, max_megapixels=max_megapixels, **options)
    assert probed.value.reason.partition(":")[0] == decoded.value.reason.partition(":")[0]
    return decoded.value.reason


def png(
    width_px: int,
    height_px: int,
    depth: int = 1,
    colour: int = 0,
    rows: bytes = b"",
    transparent: bytes = b"",
) -> bytes:
    """Write a PNG by hand: all zero unless `rows` are given, one value `transparent` if any is."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width_px, height_px, depth, colour, 0, 0, 0)
    packed = zlib.compress(rows or bytes(height_px * (1 + (width_px * depth + 7) // 8)), 9)
    chosen = chunk(b"tRNS", transparent) if transparent else b""
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            *(chunk(b"IHDR", header), chosen),
            *(chunk(b"IDAT", packed), chunk(b"IEND", b"")),
        )
    )


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_give_the_very_pixels(format: str) -> None:
    assert opened(encoded(noise(), format)).tobytes() == noise().tobytes()


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "HEIF"])
def test_lossy_formats_give_nearly_the_colour(format: str) -> None:
    import pillow_heif

    image = Image.new("RGB", (64, 48), RED)
    if format == "HEIF":
        file = BytesIO()
        pillow_heif.from_pillow(image).save(file, quality=90)
        data = file.getvalue()
    else:
        data = encoded(image, format, quality=95)
    assert np.abs(np.asarray(opened(data)).astype(int) - RED).max() <= 6
    assert probe(data, max_megapixels=100) == Probe(64, 48, format)


def test_no_bytes_are_empty() -> None:
    assert refusal(b"") == "empty: 0 bytes"


def test_text_is_not_an_image() -> None:
    assert refusal(b"<html>") == "not an image: it starts with the bytes 3c 68 74 6d 6c 3e"


def test_an_image_of_another_format_is_unsupported() -> None:
    reason = refusal(encoded(noise(), "GIF"))
    assert reason == "unsupported format: GIF; read are BMP, HEIF, JPEG, PNG, TIFF, WEBP"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("percent", [2, 50, 99])
def test_a_cut_image_is_refused(format: str, percent: int) -> None:
    data = encoded(noise(120, 160), format)
    reason = refusal(data[: len(data) * percent // 100])
    assert reason.startswith(("truncated: ", "broken: "))


@pytest.mark.parametrize("percent", [50, 99])
def test_a_cut_jpeg_is_called_truncated(percent: int) -> None:
    data = encoded(noise(120, 160), "JPEG")
    assert refusal(data[: len(data) * percent // 100]).startswith("truncated: ")


@pytest.mark.parametrize("progressive", [False, True])
def test_probe_and_decode_agree_wherever_a_jpeg_is_cut(progressive: bool) -> None:
    data = encoded(noise(40, 56), "JPEG", progressive=progressive)
    for length in [*range(len(data) - 40, len(data) + 1), *range(3, len(data), 97)]:
        verdicts = []
        for look in (probe, decode):
            try:
                look(data[:length], max_megapixels=1)
                verdicts.append(True)
            except Undecodable:
                verdicts.append(False)
        assert verdicts[0] == verdicts[1], length


def test_a_small_file_that_claims_400_megapixels_is_refused_unread() -> None:
    data = png(20_000, 20_000)
    assert len(data) < 60_000
    assert refusal(data) == "too large: 400.0 megapixels, the limit is 100"


def test_the_limit_is_the_callers_and_pillows_own_plays_no_part() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    data = png(10_000, 9_500)
    assert probe(data, max_megapixels=95) == Probe(10_000, 9_500, "PNG")


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_extreme_shapes_are_images(size: tuple[int, int]) -> None:
    assert opened(encoded(Image.new("RGB", size, RED), "PNG")).getpixel((0, 0)) == RED


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(format: str) -> None:
    ramp = np.arange(0, 1 << 16, 256, dtype=np.uint16).reshape(16, 16)
    grey = np.asarray(opened(encoded(Image.fromarray(ramp), format)))
    assert np.array_equal(grey[..., 0].ravel(), np.arange(256))


def test_sixteen_bits_of_colour_are_scaled_not_clipped() -> None:
    rows = b"\0" + struct.pack(">6H", 0, 0x4000, 0xFFFF, 0x8000, 0x0100, 0xFF00)
    image = opened(png(2, 1, depth=16, colour=2, rows=rows))
    assert [image.getpixel((0, 0)), image.getpixel((1, 0))] == [(0, 64, 255), (128, 1, 255)]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_without_an_agreed_range_are_refused(dtype: type) -> None:
    data = encoded(Image.fromarray(np.ones((4, 4), dtype)), "TIFF")
    assert refusal(data).startswith("unsupported pixels: mode ")


def test_cmyk_becomes_rgb() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(np.asarray(opened(data))[8, 8].astype(int) - (255, 0, 0)).max() <= 3


def test_a_transparent_palette_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, 0, 0, 255])
    image.putdata([0, 1])
    laid = opened(encoded(image, "PNG", transparency=1))
    assert [laid.getpixel((0, 0)), laid.getpixel((1, 0))] == [RED, (255, 255, 255)]


def test_a_palette_with_degrees_of_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.putdata([0, 1])
    laid = opened(encoded(image, "PNG", transparency=bytes([255, 127])))
    assert [laid.getpixel((0, 0)), laid.getpixel((1, 0))] == [(0, 0, 0), (128, 128, 128)]


@pytest.mark.parametrize(("mode", "pixel"), [("LA", (0, 0)), ("RGBA", (9, 9, 9, 0))])
def test_transparency_is_white(mode: str, pixel: tuple[int, ...]) -> None:
    data = encoded(Image.new(mode, (4, 4), pixel), "PNG")
    assert opened(data).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("format", ["WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 0, 255))]
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    assert opened(data).getpixel((4, 4)) == RED


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_turns_the_image_upright(format: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), (0, 0, 0))
    upright.paste((255, 255, 255), (0, 0, 16, 16))
    turn = AS_STORED[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = np.asarray(opened(encoded(stored, format, exif=exif))).astype(int)
    assert np.abs(image - np.asarray(upright)).max() <= 40


def test_an_orientation_that_is_none_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert opened(encoded(noise(), "JPEG", exif=exif)).size == (64, 48)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage", BROKEN_EXIF])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_says_nothing_about_the_pixels(format: str, exif: bytes) -> None:
    assert opened(encoded(noise(), format, exif=exif)).size == (64, 48)


def test_decoding_sets_nothing_global_in_pillow() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, sorted(Image.OPEN))
    opened(encoded(noise(), "JPEG"))
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, sorted(Image.OPEN))
    assert after == before


def test_warnings_of_the_decoder_are_muted_in_many_threads_and_then_heard_again() -> None:
    data = encoded(noise(), "JPEG", exif=BROKEN_EXIF)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        Image.open(BytesIO(data)).close()
    filters = list(warnings.filters)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(20):
            decode(data, max_megapixels=1)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(4)]:
            future.result()
    assert warnings.filters == filters


def test_an_array_is_an_image_only_where_arrays_are_expected() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = arrays.pack(pixels)
    assert refusal(data, formats=IMAGE_FORMATS).startswith("unsupported format: NPY")
    image = opened(data, formats=frozenset({ARRAY_FORMAT}))
    assert np.array_equal(np.asarray(image)[..., 1], pixels)


def test_a_cut_array_is_broken() -> None:
    data = arrays.pack(np.zeros((8, 8), np.uint8))[:-1]
    assert refusal(data, formats=frozenset({ARRAY_FORMAT})).startswith("broken: ")


def test_an_image_is_unsupported_where_arrays_are_expected() -> None:
    reason = refusal(encoded(noise(), "PNG"), formats=frozenset({ARRAY_FORMAT}))
    assert reason == "unsupported format: PNG; read are NPY"


def test_hostile_bytes_never_raise_anything_else() -> None:
    random = np.random.default_rng(3)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
        data = encoded(noise(16, 16), format)
        for _ in range(60):
            broken = bytearray(data)
            for at in random.integers(4, len(data), 6):
                broken[at] = random.integers(256)
            with suppress(Undecodable):
                assert decode(bytes(broken), max_megapixels=1).mode == "RGB"


def test_the_transparent_value_of_a_grey_image_of_16_bits_is_laid_on_white() -> None:
    values = (0x0000, 0x1234, 0x1235, 0xABCD)
    rows = b"\0" + struct.pack(">4H", *values)
    data = png(4, 1, depth=16, rows=rows, transparent=struct.pack(">H", 0x1234))
    assert np.asarray(opened(data))[0, :, 0].tolist() == [0, 255, 0x12, 0xAB]
    data = png(4, 1, depth=16, rows=rows, transparent=struct.pack(">H", 0))
    assert np.asarray(opened(data))[0, :, 0].tolist() == [255, 0x12, 0x12, 0xAB]
