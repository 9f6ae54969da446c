"""Whether every loss of every pair is the stock criterion's: all head families, two sizes.

`model.loss` of Ultralytics, one pair at a time, against the kernels, for N images (24) and N target
sets, among them none, 300 of them, and some of a single class. Nothing is timed.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Figures, main
from benchmarks._losses import as_tensors, detector_of, picture, target_sets
from tasks.losses.backends import Sparse
from tasks.models.yolo.detector import Detector

_IMAGES = 24
_NAMES = ("yolov8n", "yolo11n", "yolo26n", "yolov8n-seg", "yolo11n-seg", "yolo26n-seg")
_POCKET = "pocket-segmenter"


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the largest differences, as shares of the allowed one and relative, by model, size
    and loss."""
    images = 3 if small else _IMAGES
    shares: dict[str, float] = {}
    relative: dict[str, float] = {}
    for name in (*_NAMES, _POCKET):
        for size_px in (320,) if small else (320, 640):
            weights = "default" if name == _POCKET else "random:0"
            detector = detector_of(name, size_px, folder, weights)
            found = _differences(detector, images)
            for loss, (share, difference) in found.items():
                shares[f"{name} {size_px} {loss}"] = share
                relative[f"{name} {size_px} {loss}"] = difference
            print(name, size_px, found, flush=True)
    return {
        "ratio": max(shares.values()),
        "unit": "largest difference to model.loss / that allowed, 1e-4 of it or 1e-5",
        "images": images,
        "largest_relative_difference": relative,
    }


def _differences(detector: Detector, images: int) -> dict[str, tuple[float, float]]:
    import torch

    counts = np.random.default_rng(3).integers(1, 13, images).tolist()
    counts[:3] = [0, 300, 7]
    sets = target_sets(counts, detector)
    backend = Sparse(detector, sets)
    assert detector.criterion is not None
    detector.net.criterion = detector.criterion
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in detector.components}
    with backend.open(), torch.no_grad():
        for number in range(images):
            raw = detector.forward(picture(number, detector.size_px))
            row, preds = backend.row(raw), raw.preds(0)
            for column, targets in enumerate(sets):
                batch = as_tensors(targets, detector.size_px)
                _, items = detector.net.loss(batch, preds)
                for place, loss in enumerate(detector.components):
                    stock, ours = float(items[f"{loss}_loss"]), float(row.losses[place, column])
                    found[loss].append((ours, stock))
    return {loss: _worst(np.array(pairs)) for loss, pairs in found.items()}


def _worst(pairs: NDArray[np.float64]) -> tuple[float, float]:
    """Return the largest difference of (ours, stock), as a share of the allowed, and relative;
    both are infinite where either is no number."""
    if not np.isfinite(pairs).all():
        return float("inf"), float("inf")
    ours, stock = pairs.T
    off = np.abs(ours - stock)
    share = (off / np.maximum(1e-4 * np.abs(stock), 1e-5)).max()
    relative = (off / np.maximum(np.abs(stock), 1e-5)).max()
    return float(f"{share:.2g}"), float(f"{relative:.2g}")


if __name__ == "__main__":
    main("loss_exactness", measure)
