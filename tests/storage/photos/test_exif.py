"""EXIF in the pipeline's words, also where it lies or is broken."""

from io import BytesIO
from typing import Any

import pytest
from PIL import ExifTags, Image

from storage.photos.exif import describe

HOSTILE = "<script>alert(1)</script>\"'%{x}\n\u202egnp.exe" + "A" * 4000


def jpeg(main: dict[int, Any], camera: dict[int, Any], place: dict[int, Any]) -> bytes:
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(ExifTags.IFD.Exif).update(camera)
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(place)
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_a_phone_says_what_the_pipeline_wants_to_know() -> None:
    data = jpeg(
        {0x010F: "Apple", 0x0110: "iPhone 11 Pro Max", 0x0112: 6, 0x013B: "A. Person"},
        {
            0x8827: 64, 0x829D: 1.8, 0x829A: 1 / 60, 0x920A: 4.25,
            0x9003: "2024:12:25 11:25:57", 0xA434: "back camera",
        },
        {1: "S", 2: (33.0, 52.0, 10.8), 3: "E", 4: (151.0, 12.0, 0.0), 6: 12.0},
    )  # fmt: skip
    assert describe(data, max_megapixels=1) == {
        "format": ".jpg",
        "exif": {
            "camera": "Apple iPhone 11 Pro Max",
            "lens": "back camera",
            "iso": 64,
            "aperture": "f/1.8",
            "shutter_speed": "1/60",
            "focal_length": "4mm",
            "datetime": "2024:12:25 11:25:57",
            "gps": {"latitude": -33.8696667, "longitude": 151.2, "altitude": 12.0},
        },
        "owner": "A. Person",
        "orientation": 6,
    }


def test_what_is_not_told_is_unknown_or_null() -> None:
    found = describe(jpeg({}, {}, {}), max_megapixels=1)["exif"]
    assert found["iso"] is None
    assert found["gps"] is None
    assert {v for k, v in found.items() if k not in ("iso", "gps")} == {"Unknown"}


def test_hostile_texts_stay_what_they_are() -> None:
    found = describe(jpeg({0x010F: HOSTILE}, {}, {}), max_megapixels=1)["exif"]
    assert found["camera"].startswith("<script>alert(1)</script>\"'%{x}\n")
    assert len(found["camera"]) > 4000


@pytest.mark.parametrize("cut", [40, 80, 120])
def test_broken_exif_says_nothing_and_breaks_nothing(cut: int) -> None:
    data = jpeg({0x010F: "Maker"}, {0x829D: 1.8}, {})
    spoilt = data[:30] + bytes(255 - b for b in data[30:cut]) + data[cut:]
    assert describe(spoilt, max_megapixels=1)["exif"]["iso"] is None


@pytest.mark.parametrize("value", [(0.0, 0.0), (1.0, 2.0, 1e9), (91.0, 0.0, 0.0)])
def test_a_place_that_is_none_is_null(value: Any) -> None:
    data = jpeg({}, {}, {1: "N", 2: value, 3: "E", 4: (1.0, 2.0, 3.0)})
    assert describe(data, max_megapixels=1)["exif"]["gps"] is None


@pytest.mark.parametrize("data", [b"", b"no image at all", b"\xff\xd8\xff"])
def test_what_is_no_image_is_unknown(data: bytes) -> None:
    assert describe(data, max_megapixels=1)["format"] == "Unknown"


@pytest.mark.parametrize(("said", "read"), [
    ("J\u00f6rg \u00dc \u5199\u771f".encode(), "J\u00f6rg \u00dc \u5199\u771f"),
    (b"J\xf6rg \xdc", "J\u00f6rg \u00dc"),
    (b"Caf\xc3", "Caf\u00c3"),
])  # fmt: skip
def test_texts_are_utf8_and_where_they_are_not_latin1(said: bytes, read: str) -> None:
    data = jpeg({0x010F: said, 0x013B: said}, {0xA434: said}, {})
    found = describe(data, max_megapixels=1)
    assert (found["exif"]["camera"], found["exif"]["lens"], found["owner"]) == (read, read, read)
