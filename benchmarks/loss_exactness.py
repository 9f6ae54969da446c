"""Whether every loss of every pair is the stock criterion's: all head families, two sizes.

`model.loss` of Ultralytics, one pair at a time, against the kernels, for N images (24) and N target
sets, among them none, 300 of them, and some of a single class. Nothing is timed.
"""

from pathlib import Path

import numpy as np

from benchmarks._harness import Figures, main
from benchmarks._losses import as_tensors, detector_of, picture, target_sets
from tasks.losses.backends import Sparse
from tasks.models.yolo.detector import Detector

_IMAGES = 24
_NAMES = ("yolov8n", "yolo11n", "yolo26n", "yolov8n-seg", "yolo11n-seg", "yolo26n-seg")
_POCKET = "pocket-segmenter"


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the largest relative difference beyond 1e-5 absolute, by model and size."""
    images = 3 if small else _IMAGES
    worst: dict[str, float] = {}
    for name in (*_NAMES, _POCKET):
        for size_px in (320,) if small else (320, 640):
            weights = "default" if name == _POCKET else "random:0"
            detector = detector_of(name, size_px, folder, weights)
            found = _differences(detector, images)
            worst |= {f"{name} {size_px} {loss}": value for loss, value in found.items()}
            print(name, size_px, found, flush=True)
    return {
        "ratio": max(worst.values()) / 1e-4,
        "unit": "largest relative difference to model.loss / 1e-4 allowed",
        "images": images,
        "largest_relative_difference": worst,
    }


def _differences(detector: Detector, images: int) -> dict[str, float]:
    import torch

    counts = np.random.default_rng(3).integers(1, 13, images).tolist()
    counts[:3] = [0, 300, 7]
    sets = target_sets(counts, detector)
    backend = Sparse(detector, sets)
    assert detector.criterion is not None
    detector.net.criterion = detector.criterion
    worst = dict.fromkeys(detector.components, 0.0)
    with backend.open(), torch.no_grad():
        for number in range(images):
            raw = detector.forward(picture(number, detector.size_px))
            row, preds = backend.row(raw), raw.preds(0)
            for column, targets in enumerate(sets):
                batch = as_tensors(targets, detector.size_px)
                _, items = detector.net.loss(batch, preds)
                for place, loss in enumerate(detector.components):
                    stock, ours = float(items[f"{loss}_loss"]), float(row.losses[place, column])
                    if abs(ours - stock) > 1e-5:
                        worst[loss] = max(worst[loss], abs(ours - stock) / abs(stock))
    return {loss: float(f"{value:.2g}") for loss, value in worst.items()}


if __name__ == "__main__":
    main("loss_exactness", measure)
