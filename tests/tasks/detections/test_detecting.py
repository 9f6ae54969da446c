import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from storage.annotations import rle
from storage.annotations.truth import Annotations, Truth
from storage.detections import Detections
from storage.detections.parts import LOSSES, content_of
from storage.publishing import driving
from tasks.compute.losses.targets import Targets
from tasks.dataset import open_contents
from tasks.detections import FeaturesOverflow, detection_making
from tasks.detections.truths import Classes, targets_in, truth_digest
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Detector, Raw
from tasks.models.yolo.letterbox import Frame


def truth_of(boxes: list[list[float]], classes: list[int], *, masks: bool = True) -> Truth:
    filled = []
    for x1, y1, x2, y2 in boxes:
        mask = np.zeros((40, 80), np.bool_)
        mask[round(y1) : round(y2), round(x1) : round(x2)] = True
        filled.append((np.array([x1, y1, x2, y2]), mask))
    return Truth.of(
        [(box.tolist(), class_id, rle.encode(mask) if masks else None)
         for (box, mask), class_id in zip(filled, classes, strict=True)]
    )  # fmt: skip


def test_every_image_has_features_losses_and_metrics(detections: Detections) -> None:
    images = detections.images
    assert len(images) == 6
    assert (
        images[["box_loss", "cls_loss", "dfl_loss", "seg_loss", "hit_freq"]].notna().all(axis=None)
    )
    assert images[["l1_loss", "sem_loss", "reason"]].isna().all(axis=None)
    assert detections.gap().shape == (6, 24)
    assert detections.maps(detections.contents[0], 0).shape == (12, 12, 16)


def test_losses_are_those_of_the_stock_criterion_for_the_image_alone(
    scene: Any, detections: Detections
) -> None:
    recipe = scene.recipe(bottleneck_blob=True)
    detector = load_detector(recipe.model, scene.runtime, recipe.size_px)
    contents = open_contents(scene.dataset, scene.source, scene.runtime)
    classes = Classes.of(scene.known, detector.names)
    for row in detections.images.to_dict("records"):
        boxed = detector.letterbox(np.asarray(contents.image(row["content_sha256"])))
        truth = scene.known.of(row["content_sha256"])
        assert truth is not None
        targets, reason = targets_in(boxed, truth, classes, masks=True)
        assert targets is not None
        assert reason is None
        stock = detector.stock_losses(detector.forward(boxed.pixels[None]), 0, targets)
        # Which of the anchors that do not align at all count for masks is up to the stock top-k.
        found = {name: row[f"{name}_loss"] for name in stock}
        assert found == pytest.approx(stock, rel=1e-4, abs=1e-5)


def test_detections_in_the_image_and_in_the_square_are_the_same(detections: Detections) -> None:
    content = detections.contents[0]
    row = detections.images.iloc[0]
    frame = Frame.of(row["height_px"], row["width_px"], detections.size_px)
    found = detections.in_square(content)
    rows = detections.predictions[detections.predictions["content_sha256"] == content]
    boxes = rows[["box_x1", "box_y1", "box_x2", "box_y2"]].to_numpy()
    assert len(found.class_ids) == row["detections"] > 0
    np.testing.assert_allclose(boxes, frame.to_image(found.boxes_px), atol=1e-4)
    assert found.masks is not None
    for mask, counts in zip(found.masks, rows["mask_counts"], strict=True):
        whole = rle.decode({"size": [80, 80], "counts": counts.tolist()})
        share = np.count_nonzero(whole) / whole.size
        assert np.count_nonzero(mask) / mask.size == pytest.approx(share, abs=0.06)


def test_the_most_frequent_class_and_superclass_are_of_the_truth(
    scene: Any, detections: Detections
) -> None:
    for row in detections.images.to_dict("records"):
        truth = scene.known.of(row["content_sha256"])
        assert truth is not None
        counts = np.bincount(truth.class_ids)
        assert row["flag_cat"] == counts.argmax()
        assert row["flag_cat_name"] == scene.known.names[row["flag_cat"]]
        assert scene.known.superclasses is not None
        above = [scene.known.superclasses[number] for number in truth.class_ids]
        names = sorted(set(scene.known.superclasses))
        assert row["flag_supercat"] == np.argmax([above.count(name) for name in names])
        assert row["flag_supercat_name"] == names[row["flag_supercat"]]
        assert row["objects"] == len(truth)


def test_without_annotations_what_needs_them_is_null_and_says_so(scene: Any) -> None:
    images = scene.detect(known=False).images
    assert images[[*LOSSES, "mean_iou", "hit_freq", "dice_score", "flag_cat"]].isna().all(axis=None)
    assert images["mean_conf"].notna().all()
    assert set(images["reason"]) == {"unknown: nothing is known to be in this image"}


def test_features_that_float16_cannot_hold_are_told(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Detector.forward

    def with_feature(value: float) -> None:
        def changed(detector: Detector, pixels: Any) -> Raw:
            raw = forward(detector, pixels)
            features = {layer: kept.clone() for layer, kept in raw.features.items()}
            features[3][0, 0, 0, 0] = value
            return replace(raw, features=features)

        monkeypatch.setattr(Detector, "forward", changed)

    with_feature(-65519.0)  # rounds to the least that there is
    found = scene.detect(scene.recipe(layers=(3, 0)))
    assert min(found.maps(content, 0).min() for content in found.contents) == -65504
    told = r"^Layer 3 of .* float16 cannot hold\. Leave it out"
    for value in (65520.0, np.inf, np.nan):
        with_feature(value)
        with pytest.raises(FeaturesOverflow, match=told):
            scene.detect(scene.recipe(layers=(3,)))


def test_layers_are_kept_in_their_order_and_the_last_one_embeds(scene: Any) -> None:
    found = scene.detect(scene.recipe(layers=(3, 1)))
    assert found.card.layers == (3, 1)
    assert found.gap(layer=0).shape == (6, 16)
    assert found.gap().shape == (6, 8)
    assert found.maps(found.contents[0]).shape == (24, 24, 8)


def test_speed_makes_the_same_parts(scene: Any, detections: Detections) -> None:
    slow = scene.runtime.model_copy(update={"lanes": 1, "batch_size": 5})
    other = type(scene)(**vars(scene) | {"runtime": slow})
    recipe = scene.recipe(bottleneck_blob=True, layers=(4, 3))
    assert other.detect(recipe).manifest.key == scene.detect(recipe).manifest.key
    again = other.detect(scene.recipe(thresholds={"conf": 0.9, "iou": 0.6, "max_det": 21}))
    np.testing.assert_allclose(again.gap(), detections.gap(again.contents), rtol=1e-4, atol=1e-6)


def test_rows_are_taken_over_when_more_images_or_labels_come(scene: Any) -> None:
    recipe, store = scene.recipe(), scene.store
    scene.detect(recipe)
    truths = {content: scene.known.of(content) for content in scene.ledger.contents}
    first = scene.ledger.contents[0]
    changed = truths | {first: Truth.of([])}
    known = Annotations(scene.known.names, changed, superclasses=scene.known.superclasses)
    key = store.key_of(scene.annotations)
    other = type(key)("annotations", 1, "0" * 16)
    making = detection_making(recipe, scene.ledger, other, known)
    assert making.key != detection_making(recipe, scene.ledger, key, scene.known).key
    with driving(store, making, part_rows=4) as draft:
        assert draft is not None
        pending = [row for part in draft.pending() for row in draft.rows_of(part)]
        draft_path = draft.path
    assert [content_of(row) for row in pending] == [first]
    shutil.rmtree(draft_path)


def test_another_truth_is_another_row(scene: Any) -> None:
    content = "a" * 64
    truths = [
        truth_of([[0, 0, 8, 8]], [0]),
        truth_of([[0, 0, 8, 9]], [0]),
        truth_of([[0, 0, 8, 8]], [1]),
        truth_of([[0, 0, 8, 8]], [0], masks=False),
        Truth.of([]),
    ]
    digests = {truth_digest(Annotations(("a", "b"), {content: t}), content) for t in truths}
    digests.add(truth_digest(Annotations(("a", "c"), {content: truths[0]}), content))
    assert len(digests) == 6
    assert truth_digest(None, content) is None
    assert truth_digest(Annotations(("a", "b"), {}), content) is None


# What is known, as targets


def targets(truth: Truth, names: tuple[str, ...]) -> tuple[Targets | None, str | None]:
    known = Annotations(("red", "white"), {})
    return targets_in(Frame.of(40, 80, 160), truth, Classes.of(known, names), masks=True)


def test_masks_are_sampled_in_the_middle_of_the_cells_of_the_grid() -> None:
    found, reason = targets(truth_of([[10, 4, 30, 20]], [1]), ("white", "red"))
    assert reason is None
    assert found is not None
    assert found.masks is not None
    np.testing.assert_array_equal(found.boxes_px, [[20, 48, 60, 80]])
    assert found.class_ids.tolist() == [0]  # "white" in the model
    rows, columns = (np.flatnonzero(found.masks[0].any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (12, 19, 5, 14)


def test_classes_that_the_model_lacks_leave_no_targets() -> None:
    found, reason = targets(truth_of([[1, 1, 9, 9], [2, 2, 8, 8]], [0, 1]), ("red",))
    assert found is None
    assert reason == "classes unknown to the model: white"


def test_objects_without_masks_are_told() -> None:
    found, reason = targets(truth_of([[1, 1, 9, 9]], [0], masks=False), ("red", "white"))
    assert found is not None
    assert reason == "masks unknown: of 1 of 1 objects"


def test_a_known_empty_image_has_no_targets_but_a_class_loss(scene: Any) -> None:
    found, reason = targets(Truth.of([]), ("red", "white"))
    assert reason is None
    assert found is not None
    assert len(found) == 0


def test_what_was_found_is_counted_by_class(scene: Any, detections: Detections) -> None:
    from tasks.detections.report import HEADER, class_rows

    rows = class_rows(detections.artifact, scene.known, scene.runtime)
    assert len(HEADER) == len(rows[0])
    assert sum(int(row[1]) for row in rows) == len(detections.predictions)
    assert sum(int(row[2]) for row in rows) == detections.images["objects"].sum()
    said = json.loads(detections.images["category_distribution"].iloc[0])
    assert sum(said.values()) == detections.images["detections"].iloc[0]
