"""One folder of everything that is wrong with images: each is a row, none is a crash."""

import os
import struct
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.sources.folder import Source
from storage.dataset import ContentReader, Ledger, open_rows, scan
from storage.hashes import Hashes
from storage.readers.pixels import decode

EXPECTED = {
    "16-bit.png": "ok",
    "16-bit.tif": "ok",
    "animated.gif": "unsupported format",
    "animated.png": "ok",
    "animated.webp": "ok",
    "broken-exif.jpg": "ok",
    "cmyk.jpg": "ok",
    "cut-02.jpg": "truncated",
    "cut-50.jpg": "truncated",
    "cut-50.png": "truncated",
    "cut-99.jpg": "truncated",
    "directory.jpg": "not a file",
    "empty.jpg": "empty",
    "fifo.jpg": "not a file",
    "huge.png": "too large",
    "la.png": "ok",
    "link.jpg": "outside the roots",
    "one.png": "ok",
    "palette.png": "ok",
    "really-a-png.jpg": "ok",
    "tall.png": "ok",
    "text.jpg": "not an image",
    **{f"turned-{orientation}.jpg": "ok" for orientation in range(1, 9)},
}


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def huge_png() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes(20_000 * 2_501), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@cache
def images() -> dict[str, bytes]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 200)]
    many = {"save_all": True, "append_images": frames[1:]}
    ramp = Image.fromarray(np.arange(0, 1 << 16, 256, dtype=np.uint16).reshape(16, 16))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    jpeg, png = encoded(noise, "JPEG"), encoded(noise, "PNG")
    return {
        "16-bit.png": encoded(ramp, "PNG"),
        "16-bit.tif": encoded(ramp, "TIFF"),
        "animated.gif": encoded(frames[0], "GIF", **many),
        "animated.png": encoded(frames[0], "PNG", **many),
        "animated.webp": encoded(frames[0], "WEBP", **many),
        "broken-exif.jpg": encoded(noise, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"),
        "cmyk.jpg": encoded(noise.convert("CMYK"), "JPEG"),
        "cut-02.jpg": jpeg[: len(jpeg) // 50],
        "cut-50.jpg": jpeg[: len(jpeg) // 2],
        "cut-50.png": png[: len(png) // 2],
        "cut-99.jpg": jpeg[: len(jpeg) * 99 // 100],
        "empty.jpg": b"",
        "huge.png": huge_png(),
        "la.png": encoded(Image.new("LA", (4, 4), (9, 9)), "PNG"),
        "one.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=1),
        "really-a-png.jpg": png,
        "tall.png": encoded(Image.new("RGB", (1, 10_000)), "PNG"),
        "text.jpg": b"a text",
        **{f"turned-{at}.jpg": encoded(noise, "JPEG", exif=turned(at)) for at in range(1, 9)},
    }


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, data in images().items():
        (corpus / name).write_bytes(data)
    (tmp_path / "secret.jpg").write_bytes(images()["one.png"])
    (corpus / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (corpus / "directory.jpg").mkdir()
    os.mkfifo(corpus / "fifo.jpg")
    return corpus


def scanned(corpus: Path) -> Ledger:
    with Hashes(corpus.parent / "hashes.sqlite") as hashes:
        return scan(open_rows(Source(root=corpus)), hashes, threads=2, max_megapixels=100)


def test_every_malformed_image_is_a_row_with_its_reason(corpus: Path) -> None:
    ledger = scanned(corpus)
    found = {row.uri: (row.reason or "ok").partition(":")[0] for row in ledger.rows()}
    assert found == EXPECTED


def test_a_second_scan_finds_the_same(corpus: Path) -> None:
    assert scanned(corpus) == scanned(corpus)


def test_every_ok_row_decodes_to_the_size_that_the_ledger_lists(corpus: Path) -> None:
    ledger = scanned(corpus)
    reader = ContentReader(open_rows(Source(root=corpus)), ledger)
    for row in ledger.rows():
        if row.status == "ok" and row.sha256:
            image = decode(reader.read(row.sha256), max_megapixels=100)
            assert (image.mode, image.size) == ("RGB", (row.width_px, row.height_px))


def test_what_the_bytes_determine_keeps_its_sha256_and_what_the_world_does_has_none(
    corpus: Path,
) -> None:
    unread = {row.uri for row in scanned(corpus).rows() if row.sha256 is None}
    assert unread == {"directory.jpg", "fifo.jpg", "link.jpg"}


def test_the_reasons_of_a_moved_corpus_are_the_same_to_the_letter(corpus: Path) -> None:
    before = scanned(corpus)
    moved = corpus.rename(corpus.parent / "moved")
    with Hashes(corpus.parent / "others.sqlite") as hashes:
        after = scan(open_rows(Source(root=moved)), hashes, threads=1, max_megapixels=100)
    assert after.reason == before.reason
    assert after.rows_sha256 == before.rows_sha256
