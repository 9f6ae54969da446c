"""How fast an exact N x N loss matrix is made, against a forward pass in training mode a pair.

Ours: a forward an image, then every target set by the kernels on all cores. Theirs: what the seed
describes, `model.loss` in training mode for each pair, timed on a sample of the same pairs in the
same run. Random weights, 640 px, at least 7 targets an image, the same on both sides. The kernels
are compiled before; compiling alone is measured in a process with an empty cache.
"""

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._harness import Figures, main, peak_memory_bytes
from benchmarks._losses import as_tensors, detector_of, picture, target_sets
from tasks.compute.losses.targets import Targets
from tasks.losses.backends import Sparse
from tasks.models.yolo.detector import Detector

_IMAGES, _LARGE, _SAMPLE = 64, 1000, 24
_SIZE_PX = 640
_MODELS = {"detection": "yolo11n", "segmentation": "yolo11n-seg"}


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratios to a forward a pair, the cost of a pair by N, and a run at N = 1,000."""
    size_px, images, sample = (320, 4, 2) if small else (_SIZE_PX, _IMAGES, _SAMPLE)
    found = {
        task: _compared(detector_of(name, size_px, folder), images, sample)
        for task, name in _MODELS.items()
    }
    detection, segmentation = found["detection"], found["segmentation"]
    return {
        "ratio": detection["pair_ratio"],
        "unit": "seconds a pair by a forward in training mode / seconds a pair by the kernels",
        "segmentation_ratio": segmentation["pair_ratio"],
        "whole_ratio": detection["whole_ratio"],
        "segmentation_whole_ratio": segmentation["whole_ratio"],
        "images": images,
        "pair_milliseconds": detection["pair_milliseconds"],
        "segmentation_pair_milliseconds": segmentation["pair_milliseconds"],
        "prepared_pair_milliseconds": detection["prepared_pair_milliseconds"],
        "seed_pair_milliseconds": detection["seed_pair_milliseconds"],
        "segmentation_seed_pair_milliseconds": segmentation["seed_pair_milliseconds"],
        "sampled_pairs": sample,
        **_apart(folder, size_px, 8 if small else _LARGE, compiled=small),
        "pair_milliseconds_by_images": _by_images(
            detector_of(_MODELS["detection"], size_px, folder),
            (2, 4) if small else (16, 64, 256, 1000),
        ),
    }


def _sets(detector: Detector, images: int) -> list[Targets]:
    counts = np.random.default_rng(2).integers(8, 13, images)
    return target_sets([int(count) for count in counts], detector)


def _compared(detector: Detector, images: int, sample: int) -> dict[str, float]:
    sets = _sets(detector, images)
    _warm(detector, sets)
    theirs = _seed_seconds(detector, sets, sample // 2)
    ours = _whole(detector, sets)
    theirs += _seed_seconds(detector, sets[::-1], sample - sample // 2)
    pair = median(theirs)
    rows = median(ours["row_seconds"])
    prepared = rows + median(ours["head_seconds"])
    return {
        "pair_ratio": round(pair / (rows / images), 1),
        "whole_ratio": round(pair * images**2 / ours["seconds"], 1),
        "pair_milliseconds": round(1e3 * rows / images, 4),
        "prepared_pair_milliseconds": round(1e3 * prepared / images, 4),
        "seed_pair_milliseconds": round(1e3 * pair, 2),
    }


def _warm(detector: Detector, sets: list[Targets]) -> None:
    backend = Sparse(detector, sets[:2])
    with backend.open():
        backend.row(detector.forward(picture(0, detector.size_px)))


def _seed_seconds(detector: Detector, sets: list[Targets], sample: int) -> list[float]:
    """Return seconds of each sampled pair by `model.loss` in training mode, as the seed has it."""
    import torch

    assert detector.criterion is not None
    net = copy.deepcopy(detector.net).train()
    for module in net.modules():
        module._forward_hooks.clear()  # those of our features
    seconds = []
    with torch.no_grad():
        for number in range(sample + 1):
            image = torch.from_numpy(picture(number, detector.size_px))
            targets = as_tensors(sets[(7 * number + 1) % len(sets)], detector.size_px)
            began = time.perf_counter()
            net.loss({"img": image, **targets})
            seconds.append(time.perf_counter() - began)
    return seconds[1:]


def _whole(detector: Detector, sets: list[Targets]) -> dict[str, Any]:
    """Return the seconds of a whole matrix, and of decoding heads and of the pairs within."""
    rows, heads = [], []
    pictures = [picture(number, detector.size_px) for number in range(len(sets))]
    began = time.perf_counter()
    backend = Sparse(detector, sets)
    with backend.open():
        for pixels in pictures:
            raw = detector.forward(pixels)
            start = time.perf_counter()
            head = backend.head(raw)
            decoded = time.perf_counter()
            backend.rows.row(head)
            heads.append(decoded - start)
            rows.append(time.perf_counter() - decoded)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "row_seconds": rows, "head_seconds": heads}


def _by_images(detector: Detector, sizes: tuple[int, ...]) -> dict[str, float]:
    """Return milliseconds a pair, by the number of images that heads are compared with."""
    found = {}
    for images in sizes:
        backend = Sparse(detector, _sets(detector, images))
        with backend.open():
            head = backend.head(detector.forward(picture(0, detector.size_px)))
            seconds = []
            for _ in range(7):
                began = time.perf_counter()
                backend.rows.row(head)
                seconds.append(time.perf_counter() - began)
        found[str(images)] = round(1e3 * min(seconds) / images, 4)
    return found


def _apart(folder: Path, size_px: int, images: int, *, compiled: bool) -> dict[str, float]:
    """Return what a process of its own measures; unless `compiled`, it compiles everything anew."""
    place = {} if compiled else {"NUMBA_CACHE_DIR": str(folder / "numba")}
    command = [sys.executable, "-m", "benchmarks.loss_matrix", "--child", str(folder)]
    command += [str(size_px), str(images)]
    done = subprocess.run(command, env=os.environ | place, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _child(folder: Path, size_px: int, images: int) -> dict[str, Any]:
    """Return the seconds of compiling, and seconds and memory of a large matrix."""
    detector = detector_of(_MODELS["detection"], size_px, folder)
    sets = _sets(detector, images)
    detector.forward(picture(0, size_px))
    began = time.perf_counter()
    _warm(detector, sets)
    compiling = time.perf_counter() - began
    began = time.perf_counter()
    backend = Sparse(detector, sets)
    total = 0.0
    with backend.open():
        for number in range(images):
            total += float(backend.row(detector.forward(picture(number, size_px))).losses.sum())
    assert np.isfinite(total)
    return {
        "jit_seconds": round(compiling, 2),
        "large_images": images,
        "large_seconds": round(time.perf_counter() - began, 1),
        "large_peak_memory_bytes": peak_memory_bytes(),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_child(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main("loss_matrix", measure)
