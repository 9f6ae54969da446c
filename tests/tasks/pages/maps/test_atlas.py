"""Pictures in sheets: where each lies, and what fits."""

from io import BytesIO

import numpy as np
from PIL import Image

from tasks.pages.maps.atlas import ACROSS, Atlas, pack


def jpeg(red: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 64), (red, 0, 255 - red)).save(out, "JPEG", quality=95)
    return out.getvalue()


def noise(row: int) -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(row).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def middle(atlas: Atlas, row: int) -> tuple[int, ...]:
    sheet, tile = divmod(int(atlas.slots[row]), ACROSS * ACROSS)
    image = Image.open(BytesIO(atlas.sheets[sheet]))
    px = atlas.tile_px
    where = (tile % ACROSS * px + px // 2, tile // ACROSS * px + px // 2)
    pixel = image.getpixel(where)
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


def test_each_point_has_its_own_picture() -> None:
    atlas = pack(lambda row: jpeg(row % 200), 300, 10_000_000)
    assert len(atlas.sheets) == 2
    for row in (0, 17, 255, 256, 299):
        red, _, blue = middle(atlas, row)
        assert abs(red - row % 200) <= 8
        assert abs(blue - (255 - row % 200)) <= 8


def test_a_point_without_picture_has_no_tile() -> None:
    atlas = pack(lambda row: None if row == 1 else jpeg(90), 3, 1_000_000)
    assert atlas.slots.tolist() == [0, -1, 1]


def test_tiles_shrink_until_all_fit_the_limit() -> None:
    large, small = pack(noise, 40, 10_000_000), pack(noise, 40, 80_000)
    assert large.tile_px == 96
    assert small.tile_px < 96
    assert sum(map(len, small.sheets)) * 4 / 3 <= 80_000
    assert (small.slots >= 0).all()


def test_where_the_smallest_do_not_fit_some_points_spread_over_all_have_one() -> None:
    atlas = pack(noise, 1024, 500_000)
    have = np.flatnonzero(atlas.slots >= 0)
    assert 256 <= len(have) < 1024
    assert have.min() < 100
    assert have.max() > 900
    assert atlas.note is not None
    assert atlas.note.startswith(f"{len(have):,} of 1,024 points have a picture")
    assert sum(map(len, atlas.sheets)) * 4 / 3 <= 500_000


def test_a_limit_of_nothing_packs_nothing_and_says_so() -> None:
    atlas = pack(noise, 4, 0)
    assert atlas.sheets == ()
    assert atlas.note == "the page was made without pictures: their limit is 0 bytes"


def test_points_without_any_picture_need_no_note() -> None:
    assert pack(lambda _: None, 4, 1000).note is None
