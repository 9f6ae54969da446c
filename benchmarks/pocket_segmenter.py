"""How well the pocket segmentation model finds cells in scenes that it was not trained on.

Scored by pycocotools, of masks at the size of the scene: the mean over classes of average
precision. Every detection above a confidence of 0.001 takes part, as COCO's rules have it.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Figures, main
from conf.detections import Thresholds
from conf.models import ModelSpec
from conf.runtime import Runtime
from storage.annotations.rle import Rle, box_of, encode
from storage.readers.cells.kinds import KINDS
from storage.readers.cells.scene import picture, scene
from tasks.compute.detections.masks import image_mask
from tasks.models.load import resolve
from tasks.models.train_pocket_segmenter import SIZE_PX, TRAINING_SEED
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Detector

HELD_OUT_SEEDS = (71, 72, 73, 74)
SCENES_PER_SEED = 40
_ALL = Thresholds(conf=0.001, iou=0.7, max_det=300)
Json = dict[str, Any]


def measure(folder: Path, *, small: bool) -> Figures:
    """Return the scores of the model that is shipped."""
    runtime = Runtime(store=folder / "store", device="cpu", progress=False)
    spec = resolve(ModelSpec(family="yolo", name="pocket-segmenter", precision="fp32"), runtime)
    detector = load_detector(spec, runtime, size_px=SIZE_PX)
    seeds = HELD_OUT_SEEDS[:2] if small else HELD_OUT_SEEDS
    count = 8 if small else SCENES_PER_SEED
    return score(detector, [(seed, number) for seed in seeds for number in range(count)])


def score(detector: Detector, scenes: Sequence[tuple[int, int]]) -> Figures:
    """Return the scores of `detector` on scenes, each a seed and a number."""
    assert TRAINING_SEED not in {seed for seed, _ in scenes}
    known = [item for at, names in enumerate(scenes) for item in _known(at, *names)]
    found = [item for at, names in enumerate(scenes) for item in _found(detector, at, *names)]
    masks, boxes = (_precision(known, found, len(scenes), by) for by in ("segm", "bbox"))
    return {
        "ratio": round(float(masks[0].mean()), 4),
        "unit": "mask mAP at an IoU of 0.5, on held-out scenes: 1 is perfect",
        "mask_map50": round(float(masks[0].mean()), 4),
        "mask_map50_95": round(float(masks.mean()), 4),
        "box_map50": round(float(boxes[0].mean()), 4),
        "box_map50_95": round(float(boxes.mean()), 4),
        **{
            f"mask_ap50_{kind.name.replace(' ', '_')}": round(float(value), 4)
            for kind, value in zip(KINDS, masks[0], strict=True)
        },
        "scenes": len(scenes),
        "objects": len(known),
        "size_px": SIZE_PX,
    }


def _known(image: int, seed: int, number: int) -> Iterator[Json]:
    """Yield the cells of a scene as COCO's annotations."""
    truth = scene(seed, number, SIZE_PX)
    for at, cell in enumerate(truth.cells):
        mask = truth.seen == at + 1
        box = box_of(mask)
        assert box is not None
        yield _item(image, cell.class_id, box, encode(mask)) | {
            "id": image * 1000 + at + 1,
            "area": int(mask.sum()),
            "iscrowd": 0,
        }


def _found(detector: Detector, image: int, seed: int, number: int) -> Iterator[Json]:
    """Yield the detections in a scene as COCO's results."""
    square = detector.letterbox(picture(seed, number, SIZE_PX))
    raw = detector.forward(square.pixels[None])
    proto = raw.head(0).proto
    found = detector.predictions(raw, 0, _ALL)
    boxes = square.to_image(found.boxes_px)
    assert proto is not None
    assert found.mask_coefficients is not None
    for at, box in enumerate(boxes):
        offset = square.left_px, square.top_px
        part, (top, left) = image_mask(
            found.mask_coefficients[at], proto, box, square.ratio, offset
        )
        mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.bool_)
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
        yield _item(image, int(found.class_ids[at]), box, encode(mask)) | {
            "score": float(found.confidence[at])
        }


def _item(image: int, class_id: int, box: NDArray[np.float32], mask: Rle) -> Json:
    from pycocotools.mask import frPyObjects

    x1, y1, x2, y2 = map(float, box)
    return {
        "image_id": image,
        "category_id": class_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "segmentation": frPyObjects(dict(mask), *mask["size"]),
    }


def _precision(known: list[Json], found: list[Json], images: int, by: str) -> NDArray[np.float64]:
    """Return average precision, (10 IoUs from 0.5 to 0.95, classes), at up to 300 detections."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(sys.stderr):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [
                {"id": image, "height": SIZE_PX, "width": SIZE_PX} for image in range(images)
            ],
            "annotations": known,
            "categories": [{"id": at, "name": kind.name} for at, kind in enumerate(KINDS)],
        }
        truth.createIndex()
        # Copies: pycocotools writes into what it is given.
        scoring = COCOeval(truth, truth.loadRes([dict(item) for item in found]), by)
        scoring.params.maxDets = [1, 10, 300]
        scoring.evaluate()
        scoring.accumulate()
    precision: NDArray[np.float64] = scoring.eval["precision"][:, :, :, 0, -1]
    assert precision.min() >= 0, "a class has no cell in these scenes"
    return np.asarray(precision.mean(axis=1))


if __name__ == "__main__":
    main("pocket_segmenter", measure)
