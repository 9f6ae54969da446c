"""What the measurements of losses share: heads, pictures and target sets that need no download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.compute.losses.targets import Targets, stock_batch, targets_of
from tasks.models.load import resolve
from tasks.models.yolo import new_detector
from tasks.models.yolo.detector import Detector

SPREAD = 0.05


def detector_of(name: str, size_px: int, folder: Path, weights: str = "random:0") -> Detector:
    """Return a detector of its own; random heads are scattered, so that places and classes
    differ."""
    import torch

    runtime = Runtime(store=folder / "store", device="cpu", progress=False)
    family, _, short = name.rpartition("/")
    spec = ModelSpec(family=family or "yolo", name=short, weights=weights, precision="fp32")
    detector = new_detector(resolve(spec, runtime), runtime, size_px)
    drawn = torch.Generator().manual_seed(5)
    if detector.spec.is_random:
        for values in detector.net.model[-1].parameters():
            values.data += torch.randn(values.shape, generator=drawn) * SPREAD
    return detector


def picture(seed: int, size_px: int) -> NDArray[np.float32]:
    """Return tiles of random colours with noise, (1, 3, size, size)."""
    random = np.random.default_rng(seed)
    tiles = random.random((3, size_px // 32, size_px // 32), np.float32)
    noise = random.normal(0, 0.1, (3, size_px, size_px)).astype(np.float32)
    pixels = np.clip(np.kron(tiles, np.ones((1, 32, 32), np.float32)) + noise, 0, 1)
    return np.asarray(pixels[None], np.float32)


def target_sets(counts: Sequence[int], detector: Detector, seed: int = 1) -> list[Targets]:
    """Return sets of ellipses in random places; sets of seven are of a single class."""
    random = np.random.default_rng(seed)
    return [_ellipses(random, count, detector) for count in counts]


def _ellipses(random: np.random.Generator, count: int, detector: Detector) -> Targets:
    size_px = detector.size_px
    largest = size_px / 10 if count > 100 else size_px / 3
    centres, sides = random.uniform(0, size_px, (count, 2)), random.uniform(8, largest, (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    ids = random.integers(0, len(detector.names), 1 if count == 7 else count)
    grids = None
    if detector.task == "segment":
        points = np.arange(size_px // 4) * 4 + 2
        x, y = (points - centres[:, [axis]] for axis in range(2))
        halves = sides[:, :, None] / 2
        grids = (x / halves[:, 0])[:, None] ** 2 + (y / halves[:, 1])[:, :, None] ** 2 < 1
    return targets_of(boxes, np.broadcast_to(ids, count), grids, size_px=size_px)


def as_tensors(targets: Targets, size_px: int) -> dict[str, Any]:
    """Return the batch of one that the stock criterion takes."""
    import torch

    batch = stock_batch(targets, size_px)
    return {name: torch.from_numpy(values) for name, values in batch.items()}
