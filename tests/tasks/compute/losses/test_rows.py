"""The losses against the stock criterion's, one pair at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasks.compute.losses.columns import target_arrays
from tasks.compute.losses.heads import head_arrays
from tasks.compute.losses.kernels.masks import unmatched_sum
from tasks.compute.losses.targets import Targets

NAMES = ("yolov8n", "yolo11n", "yolo26n", "yolov8n-seg", "yolo11n-seg", "yolo26n-seg")
CaseOf = Callable[..., Any]


CASES = [*((name, 320) for name in NAMES), ("yolo11n", 640), ("yolo26n-seg", 640)]
"""Every head at one size; `benchmarks.loss_exactness` holds all to both."""


@pytest.mark.parametrize(("name", "size_px"), CASES)
def test_every_component_is_that_of_the_stock_criterion(
    case: CaseOf, name: str, size_px: int
) -> None:
    one = case(name, size_px, (0, 7) if size_px == 640 else (0, 300, 7, 3))
    assert one.criterion.components == one.detector.components
    raw = one.raw(seed=3)
    found = one.row(raw)
    stock = np.array([one.stock(raw, targets) for targets in one.sets]).T
    np.testing.assert_allclose(found.losses, stock, rtol=1e-4, atol=1e-5)
    assert found.positives[0] == 0
    assert np.all(found.positives[1:] > 0)


@pytest.mark.parametrize("name", ["yolo11n-seg", "yolo26n-seg"])
def test_small_squares_in_which_few_anchors_align_are_no_exception(case: CaseOf, name: str) -> None:
    one = case(name, 128, (0, 20, 7, 1))
    raw = one.raw(seed=2)
    stock = np.array([one.stock(raw, targets) for targets in one.sets]).T
    np.testing.assert_allclose(one.row(raw).losses, stock, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n-seg"])
def test_a_targets_losses_are_the_same_in_any_order_and_company(case: CaseOf, name: str) -> None:
    one = case(name, 320)
    raw = one.raw(seed=4)
    whole = one.row(raw, threads=1).losses
    turned = one.row(raw, one.sets[::-1], threads=3).losses[:, ::-1]
    alone = np.concatenate([one.row(raw, [targets]).losses for targets in one.sets], axis=1)
    np.testing.assert_array_equal(whole, turned)
    np.testing.assert_array_equal(whole, alone)


def test_an_anchor_that_two_targets_chose_goes_to_the_highest_overlap_of_all(case: CaseOf) -> None:
    """Of many boxes of one size and place, most anchors are wanted by several."""
    one = case("yolov8n", 320)
    random = np.random.default_rng(0)
    centres = 160 + random.uniform(-12, 12, (60, 2))
    boxes = np.concatenate([centres - 40, centres + 40], axis=1).astype(np.float32)
    crowd = Targets(boxes, np.arange(60) % one.classes)
    raw = one.raw(seed=5)
    found = one.row(raw, [crowd])
    np.testing.assert_allclose(found.losses[:, 0], one.stock(raw, crowd), rtol=1e-4, atol=1e-5)
    assert found.positives[0] < 10 * 60


def test_targets_that_no_anchor_fits_are_assigned_as_the_stock_top_k_breaks_ties(
    case: CaseOf,
) -> None:
    """Where nothing aligns, the first anchors of the grid are chosen: masks tell how many."""
    one = case("yolo11n-seg", 320)
    side = 80
    mask = np.zeros((2, side, side), bool)
    mask[:, :20] = True
    boxes = np.array([[0, 0, 320, 9], [0, 0, 300, 8.5]], np.float32)
    corner = Targets(boxes, np.array([0, 1]), mask)
    raw = one.raw(seed=6)
    found = one.row(raw, [corner])
    np.testing.assert_allclose(found.losses[:, 0], one.stock(raw, corner), rtol=1e-4, atol=1e-5)


def test_the_cross_entropy_with_nothing_is_rounded_as_the_stock_one(case: CaseOf) -> None:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = np.full(100_000, -11.3, np.float32)
    zeros = torch.zeros(logits.size)
    stock = binary_cross_entropy_with_logits(torch.from_numpy(logits), zeros, reduction="none")
    exact = logits.size * float(np.log1p(np.exp(-11.3)))
    found = unmatched_sum(logits)
    assert found == pytest.approx(float(stock.double().sum()), rel=1e-6)
    assert abs(found - exact) / exact > 1e-3, "the stock rounding is no longer coarse"


def test_a_head_of_another_size_is_refused_by_its_shapes(case: CaseOf) -> None:
    one = case("yolo11n", 320)
    with pytest.raises(ValueError, match=r"do not fit 2100 anchors of 320 px and reg_max 16"):
        head_arrays(one.rules, np.zeros((64, 8400), np.float32), np.zeros((80, 8400), np.float32))


def test_targets_of_another_models_classes_are_refused(case: CaseOf) -> None:
    one = case("yolo11n", 320)
    strange = Targets(np.array([[0, 0, 9, 9]], np.float32), np.array([80]))
    with pytest.raises(ValueError, match="classes 80 to 80, the head knows 0 to 79"):
        target_arrays(one.rules, [strange], one.classes)
