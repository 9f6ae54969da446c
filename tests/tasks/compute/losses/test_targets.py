import numpy as np
import pytest

from tasks.compute.losses.targets import no_targets, overlap_map, stock_batch, targets_of


def rectangle(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    mask = np.zeros((16, 16), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_boxes_are_clipped_and_those_without_area_left_out() -> None:
    boxes = np.array([[-5, 10, 20, 30], [70, 0, 80, 9], [9, 9, 9, 20]], np.float32)
    targets = targets_of(boxes, np.array([1, 2, 3]), None, size_px=64)
    assert targets.boxes_px.tolist() == [[0, 10, 20, 30]]
    assert targets.class_ids.tolist() == [1]


def test_the_larger_mask_comes_first_and_the_smaller_owns_the_overlap() -> None:
    boxes = np.array([[8, 8, 24, 24], [0, 0, 40, 40]], np.float32)
    masks = np.stack([rectangle(2, 2, 6, 6), rectangle(0, 0, 10, 10)])
    targets = targets_of(boxes, np.array([5, 7]), masks, size_px=64)
    assert targets.class_ids.tolist() == [7, 5]
    owner = overlap_map(targets)
    assert (owner[3, 3], owner[8, 8], owner[12, 12]) == (2, 1, 0)


def test_a_batch_has_the_boxes_as_shares_and_the_class_of_each_pixels_owner() -> None:
    boxes = np.array([[0, 0, 32, 16]], np.float32)
    targets = targets_of(boxes, np.array([4]), rectangle(0, 0, 8, 4)[None], size_px=64)
    batch = stock_batch(targets, 64)
    assert batch["bboxes"].tolist() == [[0.25, 0.125, 0.5, 0.25]]
    assert batch["masks"].sum() == 32
    assert batch["sem_masks"].sum() == 4 * 32


def test_a_batch_of_no_targets_is_whole() -> None:
    batch = stock_batch(no_targets(64, masks=True), 64)
    assert {name: array.shape for name, array in batch.items()} == {
        "batch_idx": (0,),
        "cls": (0,),
        "bboxes": (0, 4),
        "masks": (1, 16, 16),
        "sem_masks": (1, 16, 16),
    }


def test_masks_of_another_side_are_refused_by_both_shapes() -> None:
    boxes = np.array([[0, 0, 32, 16]], np.float32)
    with pytest.raises(ValueError, match=r"\(1, 20, 20\) do not fit 1 boxes: \(1, 16, 16\)"):
        targets_of(boxes, np.array([4]), np.zeros((1, 20, 20), bool), size_px=64)
