"""One contract for every head family and task, held against Ultralytics itself."""

import copy
import threading
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conf.detections import Thresholds
from tasks.compute.losses.targets import Targets, no_targets, stock_batch, targets_of
from tasks.models.yolo.detector import Detector
from tasks.models.yolo.heads import Raw
from tasks.models.yolo.predictions import Predictions

LOOSE = Thresholds(conf=0.9, iou=0.5, max_det=40)
WANTED = {
    "yolov8n": ("v8", "detect", ("box", "cls", "dfl")),
    "yolov8n-seg": ("v8", "segment", ("box", "cls", "dfl", "seg")),
    "yolo11n": ("11", "detect", ("box", "cls", "dfl")),
    "yolo11n-seg": ("11", "segment", ("box", "cls", "dfl", "seg")),
    "yolo26n": ("26", "detect", ("box", "cls", "l1")),
    "yolo26n-seg": ("26", "segment", ("box", "cls", "l1", "seg", "sem")),
}


def stock_net(detector: Detector, *, training_head: bool = False) -> Any:
    """Return a copy of the network as Ultralytics means it: its head in one mode throughout."""
    net = copy.deepcopy(detector.net)
    for layer in net.model:
        layer._forward_hooks.clear()
    module = net.model[-1]
    module.training = training_head
    if hasattr(module, "proto"):
        module.proto.training = training_head
    net.args = None
    return net


def some_targets(detector: Detector) -> Targets:
    side = detector.size_px // 4
    masks = np.zeros((3, side, side), np.bool_)
    masks[0, 2:14, 3:12], masks[1, 8:20, 8:24], masks[2, 25:30, 25:31] = True, True, True
    boxes = np.array([[12, 8, 48, 56], [32, 32, 96, 80], [100, 100, 124, 120]], np.float32)
    given = masks if detector.task == "segment" else None
    return targets_of(boxes, np.array([3, 0, 79]), given, size_px=detector.size_px)


def test_it_tells_its_family_task_and_components(detector: Detector) -> None:
    assert (detector.family, detector.task, detector.components) == WANTED[detector.spec.name]


def test_nothing_of_it_learns(detector: Detector) -> None:
    assert not any(weights.requires_grad for weights in detector.net.parameters())
    norms = [m for m in detector.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


def test_it_stays_unfused(detector: Detector) -> None:
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in detector.net.modules())


def test_a_forward_pass_changes_no_weight_or_statistic(detector: Detector, raw: Raw) -> None:
    from tasks.models.devices import module_fingerprint

    before = module_fingerprint(detector.net)
    detector.forward(np.zeros((1, 3, detector.size_px, detector.size_px), np.float32))
    assert module_fingerprint(detector.net) == before


def test_the_head_says_of_an_image_what_its_net_says_in_training(
    detector: Detector, raw: Raw, squares: NDArray[np.float32]
) -> None:
    net = stock_net(detector, training_head=True)
    with torch.no_grad():
        stock = net(torch.from_numpy(squares))
    stock = stock.get("one2one", stock)
    head = raw.head(1)
    np.testing.assert_array_equal(head.boxes, stock["boxes"][1].numpy())
    np.testing.assert_array_equal(head.scores, stock["scores"][1].numpy())
    if detector.task == "detect":
        assert head.proto is head.mask_coefficients is None
        return
    proto = stock["proto"]
    assert head.mask_coefficients is not None
    np.testing.assert_array_equal(head.mask_coefficients, stock["mask_coefficient"][1].numpy())
    prototypes = proto[0] if isinstance(proto, tuple) else proto
    np.testing.assert_array_equal(head.proto, prototypes[1].numpy())
    assert (head.semantic is not None) == isinstance(proto, tuple)
    if head.semantic is not None:
        np.testing.assert_allclose(head.semantic, proto[1][1].numpy(), rtol=1e-5, atol=1e-5)


def stock_predictions(detector: Detector, pixels: NDArray[np.float32]) -> list[NDArray[Any]]:
    from ultralytics.utils.nms import non_max_suppression

    net = stock_net(detector)
    ends = detector.family == "26"
    net.model[-1].max_det = LOOSE.max_det
    if ends:
        net.end2end = True
    with torch.no_grad():
        found = net(torch.from_numpy(pixels))[0]
    found = found[0] if detector.task == "segment" else found
    kept = non_max_suppression(
        found, LOOSE.conf, LOOSE.iou, max_det=LOOSE.max_det, nc=len(detector.names), end2end=ends
    )
    return [rows.numpy() for rows in kept]


def test_detections_are_those_of_ultralytics(
    detector: Detector, raw: Raw, squares: NDArray[np.float32]
) -> None:
    stock = stock_predictions(detector, squares)
    counts = []
    for image, wanted in enumerate(stock):
        found = detector.predictions(raw, image, LOOSE)
        counts.append(len(found))
        np.testing.assert_array_equal(found.class_ids, wanted[:, 5].astype(np.int64))
        np.testing.assert_allclose(found.confidence, wanted[:, 4], rtol=1e-5)
        np.testing.assert_allclose(found.boxes_px, wanted[:, :4], rtol=1e-4, atol=2e-3)
        if detector.task == "segment":
            assert found.mask_coefficients is not None
            np.testing.assert_allclose(found.mask_coefficients, wanted[:, 6:], rtol=1e-5)
    assert min(counts) > 3


def test_nothing_is_found_where_nothing_is_sure(detector: Detector, raw: Raw) -> None:
    found = detector.predictions(raw, 0, Thresholds(conf=1 - 1e-12))
    assert len(found) == 0
    assert found.boxes_px.shape == (0, 4)
    if detector.task == "segment":
        assert found.mask_coefficients is not None
        assert found.mask_coefficients.shape == (0, 32)


@pytest.mark.parametrize("empty", [False, True])
def test_losses_are_those_of_the_stock_model_for_that_image_alone(
    detector: Detector, raw: Raw, squares: NDArray[np.float32], empty: bool
) -> None:
    from ultralytics.cfg import get_cfg

    targets = some_targets(detector)
    if empty:
        targets = no_targets(detector.size_px, masks=detector.task == "segment")
    net = stock_net(detector, training_head=True)
    net.args = get_cfg()
    batch = {k: torch.from_numpy(v) for k, v in stock_batch(targets, detector.size_px).items()}
    batch["img"] = torch.from_numpy(squares[1:2])
    with torch.no_grad():
        _, items = net.loss(batch)
    found = detector.stock_losses(raw, 1, targets)
    assert tuple(found) == detector.components
    for name in detector.components:
        assert found[name] == pytest.approx(float(items[f"{name}_loss"]), rel=1e-4, abs=1e-5), name
    assert empty or all(found[name] > 0 for name in detector.components)


def test_features_are_the_outputs_of_the_layers_that_feed_the_head(
    detector: Detector, raw: Raw, squares: NDArray[np.float32]
) -> None:
    assert detector.layers == tuple(detector.net.model[-1].f)
    assert tuple(raw.features) == detector.layers
    for level, layer in zip(raw.branch["feats"], detector.layers, strict=True):
        assert torch.equal(level, raw.features[layer])


def test_lanes_do_not_get_each_others_features(
    detector: Detector, squares: NDArray[np.float32]
) -> None:
    alone = [detector.forward(one[None]).features for one in squares]
    found: dict[int, list[Any]] = {0: [], 1: [], 2: []}

    def lane(image: int) -> None:
        for _ in range(3):
            found[image].append(detector.forward(squares[image][None]).features)

    threads = [threading.Thread(target=lane, args=(image,)) for image in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    layer = detector.layers[0]
    for image, passes in found.items():
        assert len(passes) == 3
        for features in passes:
            torch.testing.assert_close(features[layer], alone[image][layer], rtol=1e-4, atol=1e-4)


def test_a_batch_says_of_an_image_what_a_pass_of_its_own_says(
    detector: Detector, raw: Raw, squares: NDArray[np.float32]
) -> None:
    alone: Predictions = detector.predictions(detector.forward(squares[2:]), 0, LOOSE)
    together = detector.predictions(raw, 2, LOOSE)
    np.testing.assert_array_equal(together.class_ids, alone.class_ids)
    np.testing.assert_allclose(together.boxes_px, alone.boxes_px, rtol=1e-3, atol=1e-2)
