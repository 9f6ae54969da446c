import numpy as np
import pytest
from numpy.typing import NDArray

from storage.annotations import rle
from tasks.compute.detections.masks import (
    dice,
    encode_within,
    grid_masks,
    image_mask,
    overlap_px,
    sample_runs,
)


def drawn_mask(seed: int, shape: tuple[int, int] = (23, 17)) -> NDArray[np.bool_]:
    drawn = np.random.default_rng(seed)
    return np.asarray(drawn.random(shape) < drawn.random(), dtype=np.bool_)


PLACES = [((0, 0), (23, 17)), ((3, 2), (9, 8)), ((0, 5), (23, 6)), ((22, 16), (23, 17))]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("start", "stop"), PLACES)
def test_run_lengths_of_a_part_are_those_of_the_whole_mask(
    seed: int, start: tuple[int, int], stop: tuple[int, int]
) -> None:
    part = drawn_mask(seed)[start[0] : stop[0], start[1] : stop[1]]
    whole = np.zeros((23, 17), np.bool_)
    whole[start[0] : stop[0], start[1] : stop[1]] = part
    assert encode_within(part, start, 23, 17).tolist() == rle.encode(whole)["counts"]


@pytest.mark.parametrize("value", [False, True])
def test_run_lengths_of_full_columns_are_joined(value: bool) -> None:
    part = np.full((23, 4), value)
    whole = np.zeros((23, 17), np.bool_)
    whole[:, 13:] = part
    assert encode_within(part, (0, 13), 23, 17).tolist() == rle.encode(whole)["counts"]


def test_a_mask_of_no_pixels_is_all_background() -> None:
    assert encode_within(np.zeros((0, 3), np.bool_), (2, 2), 5, 7).tolist() == [35]


@pytest.mark.parametrize("seed", range(8))
def test_shared_pixels_are_counted_without_decoding(seed: int) -> None:
    first, second = drawn_mask(seed), drawn_mask(seed + 100)
    runs = [rle.encode(mask)["counts"] for mask in (first, second)]
    assert overlap_px(*runs) == np.count_nonzero(first & second)
    areas = np.count_nonzero(first) + np.count_nonzero(second)
    assert dice(*runs) == 2 * np.count_nonzero(first & second) / areas


def test_a_mask_is_its_own_best_match_and_two_empty_ones_are_the_same() -> None:
    full, empty = [0, 12], [12]
    assert dice(full, full) == 1
    assert dice(full, empty) == 0
    assert dice(empty, empty) == 1


def bilinear(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return what torch makes of logits at another size: the independent implementation."""
    import torch

    whole = torch.from_numpy(logits)[None, None]
    found = torch.nn.functional.interpolate(whole, size, mode="bilinear", align_corners=False)
    resized: NDArray[np.float32] = found[0, 0].numpy()
    return resized


@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_a_mask_at_the_size_of_the_image_is_that_of_torch_inside_the_box(scale: float) -> None:
    drawn = np.random.default_rng(3)
    proto = drawn.normal(size=(32, 16, 16)).astype(np.float32)
    coefficients = drawn.normal(size=32).astype(np.float32)
    side = int(64 * scale)
    box = np.array([5.2, 3.6, side - 7.4, side - 1.5], np.float32)
    part, (row, column) = image_mask(coefficients, proto, box, 1 / scale, (0, 0))
    logits = bilinear(np.tensordot(coefficients, proto, 1), (side, side))
    rows, columns = part.shape
    wanted = logits[row : row + rows, column : column + columns]
    sure = np.abs(wanted) > 1e-4
    np.testing.assert_array_equal(part[sure], wanted[sure] > 0)
    assert (row, column, row + rows, column + columns) == (
        4, 5, round(side - 1.5), round(side - 7.4),
    )  # fmt: skip


def test_the_grey_around_an_image_moves_its_mask() -> None:
    proto = np.full((1, 16, 16), -1, np.float32)
    proto[0, 6:10, :] = 1  # rows 24 to 40 of the square
    box = np.array([0, 0, 64, 32], np.float32)
    part, start = image_mask(np.ones(1, np.float32), proto, box, 1.0, (0, 16))
    assert start == (0, 0)
    np.testing.assert_array_equal(np.flatnonzero(part.all(axis=1)), np.arange(8, 24))
    np.testing.assert_array_equal(part.all(axis=1), part.any(axis=1))


def test_a_box_without_a_pixel_has_no_mask() -> None:
    box = np.array([3.6, 3.6, 4.4, 9], np.float32)
    part, _ = image_mask(np.ones(1, np.float32), np.ones((1, 8, 8), np.float32), box, 1.0, (0, 0))
    assert part.shape == (5, 0)


def test_masks_on_the_grid_are_those_of_ultralytics() -> None:
    import torch
    from ultralytics.utils.ops import process_mask

    drawn = np.random.default_rng(5)
    proto = drawn.normal(size=(32, 16, 16)).astype(np.float32)
    coefficients = drawn.normal(size=(4, 32)).astype(np.float32)
    boxes = np.array([[0, 0, 64, 64], [3.1, 4.0, 33, 60], [-9, 20, 30, 99], [70, 1, 80, 9]])
    boxes = boxes.astype(np.float32)
    given = [torch.from_numpy(array) for array in (proto, coefficients, boxes)]
    stock = process_mask(given[0], given[1], given[2], (64, 64)).numpy().astype(np.bool_)
    np.testing.assert_array_equal(grid_masks(coefficients, proto, boxes), stock)


@pytest.mark.parametrize("seed", range(4))
def test_a_mask_is_sampled_without_decoding(seed: int) -> None:
    mask = drawn_mask(seed)
    rows, columns = np.linspace(-2, 25, 40), np.linspace(-1.5, 18, 30)
    found = sample_runs(rle.encode(mask)["counts"], 23, 17, (rows, columns))
    for at, y in enumerate(rows):
        for place, x in enumerate(columns):
            inside = 0 <= y < 23 and 0 <= x < 17
            assert found[at, place] == (inside and mask[int(y), int(x)])
