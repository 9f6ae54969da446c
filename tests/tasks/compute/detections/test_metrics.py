"""Metrics against pycocotools on rendered scenes with perturbed predictions."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from storage.annotations import rle
from storage.readers.cells import scene as cells
from storage.readers.cells.kinds import KINDS
from tasks.compute.detections.metrics import (
    Scores,
    box_ious,
    distribution,
    match,
    most_frequent,
    same_classes,
    scores,
)

SIDE, CLASSES = 160, len(KINDS)


def disc(box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the ellipse in a box."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    (x1, y1, x2, y2) = box
    return np.asarray(
        ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1
    )


def drawn_boxes(drawn: np.random.Generator, count: int) -> NDArray[np.float32]:
    corner = drawn.uniform(0, SIDE - 45, (count, 2))
    return np.concatenate([corner, corner + drawn.uniform(15, 44, (count, 2))], 1).astype(
        np.float32
    )


@cache
def scene(seed: int) -> dict[str, Any]:
    """Return the cells of a rendered scene, and detections that are some of them shifted, doubled,
    misnamed, and others that are nothing."""
    drawn = np.random.default_rng(seed)
    rendered = cells.scene(seed, 0, SIDE)
    kept = drawn.permutation(len(rendered.cells))[: int(drawn.integers(0, 12))]
    true_masks = [rendered.seen == at + 1 for at in kept]
    boxes_of = [rle.box_of(mask) for mask in true_masks]
    objects = np.array(boxes_of, np.float32).reshape(-1, 4)
    classes = np.array([rendered.cells[at].class_id for at in kept], np.int64)
    picked = drawn.integers(
        0, max(len(objects), 1), int(drawn.integers(0, 20)) if len(objects) else 0
    )
    boxes = objects[picked] + drawn.normal(0, 4, (len(picked), 4)).astype(np.float32)
    boxes = np.concatenate([boxes, drawn_boxes(drawn, 3)])
    boxes[:, :2] = np.clip(boxes[:, :2], 0, SIDE - 5)
    boxes[:, 2:] = np.clip(boxes[:, 2:], boxes[:, :2] + 4, SIDE)
    named = np.concatenate([classes[picked], drawn.integers(0, CLASSES, 3)])
    wrong = drawn.random(len(named)) < 0.15
    named[wrong] = drawn.integers(0, CLASSES, int(wrong.sum()))
    confidence = np.sort(drawn.random(len(boxes)))[::-1].astype(np.float32)
    return {"objects": objects, "classes": classes, "boxes": boxes, "named": named,
            "confidence": confidence, "masks": [disc(box) for box in boxes],
            "true_masks": true_masks}  # fmt: skip


def xywh(box: NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = box.astype(np.float64).tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def by_pycocotools(given: dict[str, Any]) -> Scores:
    """Return the metrics as COCO's own code matches: an implementation that is not ours."""
    truth, found = COCO(), COCO()
    truth.dataset = {
        "images": [{"id": 1, "height": SIDE, "width": SIDE}],
        "categories": [{"id": number} for number in range(CLASSES)],
        "annotations": [
            {"id": n + 1, "image_id": 1, "category_id": int(c), "bbox": xywh(b), "iscrowd": 0,
             "area": xywh(b)[2] * xywh(b)[3]}
            for n, (b, c) in enumerate(zip(given["objects"], given["classes"], strict=True))
        ],
    }  # fmt: skip
    truth.createIndex()
    found.dataset = truth.dataset | {
        "annotations": [
            {"id": n + 1, "image_id": 1, "category_id": int(c), "bbox": xywh(b), "score": float(s),
             "area": xywh(b)[2] * xywh(b)[3]}
            for n, (b, c, s) in enumerate(
                zip(given["boxes"], given["named"], given["confidence"], strict=True)
            )
        ]
    }  # fmt: skip
    found.createIndex()
    judge = COCOeval(truth, found, "bbox")
    judge.params.iouThrs, judge.params.maxDets = np.array([0.5]), [300]
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.evaluate()
    ious, dices = [], []
    for one in filter(None, judge.evalImgs):
        for detection, taken in zip(one["dtIds"], one["dtMatches"][0], strict=True):
            if taken:
                pair = (detection - 1, int(taken) - 1)
                ours, true = given["boxes"][pair[0]], given["objects"][pair[1]]
                ious.append(coco_mask.iou([xywh(ours)], [xywh(true)], [0])[0, 0])
                masks = given["masks"][pair[0]], given["true_masks"][pair[1]]
                a, b = (coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks)
                shared = coco_mask.area(coco_mask.merge([a, b], intersect=True))
                dices.append(2 * shared / (coco_mask.area(a) + coco_mask.area(b)))
    count, confidence = len(given["objects"]), given["confidence"]
    return Scores(
        mean_iou=float(np.mean(ious)) if ious else None,
        mean_conf=float(confidence.mean()) if len(confidence) else None,
        hit_freq=len(ious) / count if count else None,
        dice_score=float(np.mean(dices)) if dices else None,
    )


@pytest.mark.parametrize("seed", range(30))
def test_metrics_are_those_of_pycocotools(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    given = scene(seed)
    ious = box_ious(given["boxes"], given["objects"])
    matched = match(ious, given["named"], given["classes"])
    masks, true_masks = (
        [rle.encode(mask)["counts"] for mask in given[which]] for which in ("masks", "true_masks")
    )
    ours = scores(given["confidence"], matched, ious, masks, true_masks)
    theirs = by_pycocotools(given)
    for name in ("mean_iou", "mean_conf", "hit_freq", "dice_score"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (other is None), name
        assert mine is None or mine == pytest.approx(other, rel=1e-6), name


def test_the_scenes_have_hits_misses_and_false_alarms() -> None:
    found = [by_pycocotools(scene(seed)) for seed in range(30)]
    hits = [one.hit_freq for one in found if one.hit_freq is not None]
    assert min(hits) < 0.5 < max(hits)
    assert any(one.hit_freq is None for one in found)


def test_an_object_is_taken_once_and_by_the_more_confident() -> None:
    box = np.array([[0, 0, 10, 10]], np.float32)
    ious = box_ious(np.repeat(box, 2, axis=0), box)
    np.testing.assert_array_equal(match(ious, np.array([1, 1]), np.array([1])), [0, -1])


def test_another_class_is_no_match() -> None:
    assert match(np.ones((1, 1)), np.array([1]), np.array([2])).tolist() == [-1]


def test_a_class_that_the_model_lacks_is_no_match() -> None:
    known = same_classes(("red", "white"), ("white", "platelet"))
    assert known.tolist() == [1, -1]
    assert match(np.ones((1, 2)), np.array([1]), known[[1, 0]]).tolist() == [1]


def test_nothing_known_leaves_the_mean_confidence_only() -> None:
    found = scores(np.array([0.5, 0.75]), None, None, [None, None], ())
    assert found == Scores(None, 0.625, None, None)


def test_a_known_empty_image_has_no_share_of_objects() -> None:
    none = np.zeros((0,), np.int64)
    found = scores(np.array([0.5]), np.array([-1]), np.zeros((1, 0)), [None], ())
    assert (found.hit_freq, found.mean_iou, found.mean_conf) == (None, None, 0.5)
    assert scores(np.zeros(0), none, np.zeros((0, 2)), (), (None, None)).hit_freq == 0


def test_boxes_without_area_overlap_nothing() -> None:
    point = np.array([[3, 3, 3, 3]], np.float32)
    assert box_ious(point, point).tolist() == [[0]]


def test_of_equally_frequent_classes_the_lowest_is_taken() -> None:
    assert most_frequent(np.array([4, 2, 2, 4, 1])) == 2
    assert most_frequent(np.zeros(0, np.int64)) is None
    assert distribution(np.array([4, 2, 2])) == {"2": 2, "4": 1}
