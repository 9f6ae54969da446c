import json

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.annotations.rle import (
    Rle,
    area_px,
    box_of,
    compress,
    decode,
    decompress,
    encode,
    encode_filled,
    fill,
)

mask_api = pytest.importorskip("pycocotools.mask", reason="needs the extra dev")


def random_masks() -> list[NDArray[np.bool_]]:
    """Noise, blobs, all, none, one column, one row, one pixel; the first pixel set and not."""
    drawn = np.random.default_rng(0)
    noise = [drawn.random(shape) < share for shape in ((7, 5), (40, 61)) for share in (0.1, 0.6)]
    rows, columns = np.mgrid[:90, :70]
    blob = (rows - 44.3) ** 2 + 2 * (columns - 30.2) ** 2 < 900
    flat = [np.ones((3, 4)), np.zeros((3, 4)), np.ones((1, 6)), np.eye(1, 6), np.eye(6, 1)]
    return [*noise, blob, ~blob, *(mask.astype(bool) for mask in flat)]


@pytest.mark.parametrize("mask", random_masks(), ids=lambda m: f"{m.shape}-{int(m.sum())}")
def test_run_lengths_are_those_of_pycocotools(mask: NDArray[np.bool_]) -> None:
    theirs = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode(mask)
    assert compress(ours["counts"]).encode() == theirs["counts"]
    assert decompress(theirs["counts"]) == ours["counts"]
    assert ours["size"] == theirs["size"]
    assert area_px(ours) == mask_api.area(theirs)


@pytest.mark.parametrize("mask", random_masks(), ids=lambda m: f"{m.shape}-{int(m.sum())}")
def test_a_mask_comes_back_whole_through_json(mask: NDArray[np.bool_]) -> None:
    back = decode(json.loads(json.dumps(encode(mask))))
    assert back.dtype == np.bool_
    assert back.flags.c_contiguous
    assert np.array_equal(back, mask)


def test_runs_longer_than_five_bits_and_shorter_ones_after_them_are_spelt() -> None:
    counts = [0, 1, 40_000, 3, 31, 32, 33, 1_000_000, 16, 15]
    assert decompress(compress(counts)) == counts


@pytest.mark.parametrize(
    ("rle", "says"),
    [
        (Rle(size=[2, 2], counts=[1, 2]), "runs of 3 pixels in all for a mask of 2 x 2 = 4"),
        (Rle(size=[2, 2], counts=[5, -1]), "a run of -1 pixels"),
    ],
)
def test_runs_that_spell_no_mask_are_refused(rle: Rle, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode(rle)


@pytest.mark.parametrize(
    ("text", "says"), [("0 1", "the character ' '"), ("0P", "that end amid a number")]
)
def test_text_that_spells_no_runs_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decompress(text)


def test_a_box_is_tight_around_its_pixels_edges_not_centres() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:6] = True
    box = box_of(mask)
    assert box is not None
    assert box.tolist() == [2, 1, 6, 3]
    theirs = mask_api.toBbox(mask_api.encode(np.asfortranarray(mask.astype(np.uint8))))
    assert theirs.tolist() == [2, 1, 4, 2]  # x, y, width, height
    assert box_of(np.zeros((2, 2), dtype=bool)) is None


def test_a_pixel_is_filled_when_its_centre_is_inside() -> None:
    square = np.array([[1.4, 0.6], [3.6, 0.6], [3.6, 2.4], [1.4, 2.4]])
    assert fill([square], 4, 5).astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out() -> None:
    corner, away, down, across = (0.0, 0.0), (7.3, 1.1), (2.2, 8.9), (9.0, 9.0)
    one = fill([np.array([corner, away, down])], 10, 10)
    other = fill([np.array([away, across, down])], 10, 10)
    assert not (one & other).any()
    assert np.array_equal(one | other, fill([np.array([corner, away, across, down])], 10, 10))


def test_rings_are_united_and_cut_at_the_border() -> None:
    ring = np.array([[-3.0, -3.0], [2.0, -3.0], [2.0, 2.0], [-3.0, 2.0]])
    assert fill([ring, ring + 8], 10, 10).sum() == 4 + 5 * 5
    assert fill([ring - 50, ring + 50], 10, 10).sum() == 0


# pycocotools 2.0.11 asks numpy for an array in numpy 1's way.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_filled_polygons_are_pycocotools_but_for_the_rim() -> None:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([50 + 31 * np.cos(angles), 44 + 23 * np.sin(angles)], axis=1)
    theirs = mask_api.decode(mask_api.frPyObjects([ring.ravel().tolist()], 90, 100)[0]) > 0
    ours = fill([ring], 90, 100)
    assert (ours ^ theirs).sum() < 0.05 * theirs.sum()
    assert ours.sum() == pytest.approx(24 / 2 * np.sin(2 * np.pi / 24) * 31 * 23, rel=0.01)


def test_polygons_are_encoded_as_their_masks_are() -> None:
    drawn = np.random.default_rng(3)
    for _ in range(300):
        height_px, width_px = (int(side) for side in drawn.integers(1, 12, 2))
        count = int(drawn.integers(0, 3))
        rings = [drawn.uniform(-3, 14, (int(drawn.integers(3, 7)), 2)) for _ in range(count)]
        mask = fill(rings, height_px, width_px)
        assert encode_filled(rings, height_px, width_px) == encode(mask)
    whole = np.array([[-1.0, -1.0], [9.0, -1.0], [9.0, 9.0], [-1.0, 9.0]])
    assert encode_filled([whole], 4, 5) == Rle(size=[4, 5], counts=[0, 20])


def test_a_pixel_is_inside_where_a_ray_says_so() -> None:
    drawn = np.random.default_rng(4)
    for _ in range(60):
        ring = drawn.uniform(-2, 9, (int(drawn.integers(3, 8)), 2))
        for (row, column), is_inside in np.ndenumerate(fill([ring], 7, 6)):
            assert is_inside == _is_inside(ring, column + 0.5, row + 0.5)


def _is_inside(ring: NDArray[np.float64], x: float, y: float) -> bool:
    """Even-odd, one edge at a time."""
    odd = False
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x:
            odd = not odd
    return odd
