import numpy as np
import pytest

from tasks.models.yolo.letterbox import Frame, letterbox

SHAPES = [(90, 160), (160, 90), (128, 128), (37, 41), (1, 400), (333, 2), (128, 127)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pixels_are_those_of_ultralytics(shape: tuple[int, int]) -> None:
    from ultralytics.data.augment import LetterBox

    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    stock = np.asarray(LetterBox(new_shape=(128, 128), auto=False)(image=rgb))
    found = letterbox(rgb, 128)
    np.testing.assert_allclose(found.pixels, stock.transpose(2, 0, 1) / np.float32(255), atol=1e-7)
    assert found.pixels.dtype == np.float32
    place = np.full((3, 128, 128), np.nan, np.float32)
    assert letterbox(rgb, 128, place).pixels is place
    np.testing.assert_array_equal(place, found.pixels)


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_come_back_from_the_square(shape: tuple[int, int]) -> None:
    height, width = shape
    frame = Frame.of(height, width, 128)
    boxes = np.array([[0, 0, width, height], [0, 0, width / 2, height / 3]], np.float32)
    np.testing.assert_allclose(frame.to_image(frame.to_square(boxes)), boxes, rtol=1e-5, atol=1e-4)


def test_boxes_are_cut_at_the_border_of_the_image() -> None:
    frame = Frame.of(64, 128, 128)
    outside = np.array([[-5, 0, 200, 128]], np.float32)
    np.testing.assert_array_equal(frame.to_image(outside), [[0, 0, 128, 64]])


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_of_the_image_is_cut_off(shape: tuple[int, int]) -> None:
    rows, columns = Frame.of(*shape, 128).inner
    assert 0 <= rows.start < rows.stop <= 128
    assert 0 <= columns.start < columns.stop <= 128
    assert 128 in {rows.stop - rows.start, columns.stop - columns.start}
