"""Thumbnails: small, drawn once, and none where the picture is gone."""

from io import BytesIO

from PIL import Image

from conf.errors import WorldError
from tasks.pages.maps.atlas import pack
from tasks.projection.pictures import drawn_once


class Album:
    """Pictures of 200 x 100 pixels; row 3 has none, row 4 is gone."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __call__(self, row: int) -> Image.Image | None:
        self.read.append(row)
        if row == 4:
            raise WorldError("gone")
        return None if row == 3 else Image.new("RGB", (200, 100), (20 * row % 255, 90, 90))


def test_a_page_and_its_table_draw_each_picture_once() -> None:
    album = Album()
    thumbnails = drawn_once(album)
    pack(thumbnails, 12, 1_000_000)
    drawn = [thumbnails(row) for row in range(12)]
    assert sorted(album.read) == list(range(12))
    assert [row for row, data in enumerate(drawn) if data is None] == [3, 4]
    assert Image.open(BytesIO(drawn[0] or b"")).size == (96, 48)


def test_what_is_more_than_may_be_kept_is_drawn_again() -> None:
    album = Album()
    thumbnails = drawn_once(album, kept_bytes=1500)
    first = [thumbnails(row) for row in (0, 1, 2)]
    assert sum(len(data or b"") for data in first) > 1500
    assert [thumbnails(row) for row in (0, 1, 2)] == first
    assert 3 < len(album.read) < 6
