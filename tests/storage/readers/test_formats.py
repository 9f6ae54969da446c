import pytest

from storage.readers.formats import recognise, too_large


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"GIF89a", "GIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", None),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"BMW is a maker of motor cars", None),
        (b"\x93NUMPY\x01\0", "NPY"),
        (b"", None),
        (b"hello", None),
    ],
)
def test_a_format_is_told_by_its_first_bytes(head: bytes, name: str | None) -> None:
    assert recognise(head) == name


def test_as_many_pixels_as_the_limit_are_not_too_large() -> None:
    assert too_large(1000, 1000, 1.0) is None


def test_more_pixels_than_the_limit_are_counted_in_the_reason() -> None:
    assert too_large(1000, 1500, 1.0) == "too large: 1.5 megapixels, the limit is 1"
