"""Heads of every family with scattered random weights, target sets, and the stock losses."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.compute.losses.heads import criterion_of, rules_of
from tasks.compute.losses.matrix import LossRow
from tasks.compute.losses.targets import Targets, targets_of
from tasks.losses.backends import Sparse
from tasks.models.load import resolve
from tasks.models.yolo import load_detector
from tasks.models.yolo.detector import Detector, Raw

NAMES = ("yolov8n", "yolo11n", "yolo26n", "yolov8n-seg", "yolo11n-seg", "yolo26n-seg")
COUNTS = (0, 300, 7, 1, 12, 3)
"""Targets of each set: none, as many as there can be, of a single class, and so on."""


@cache
def load(name: str, size_px: int) -> Detector:
    import torch

    runtime = Runtime(device="cpu", progress=False)
    spec = ModelSpec(family="yolo", name=name, weights="random:0", precision="fp32")
    detector = load_detector(resolve(spec, runtime), runtime, size_px, (4,))
    # Fresh heads say the same everywhere; scattered ones differ from place to place.
    drawn = torch.Generator().manual_seed(5)
    for weights in detector.net.model[-1].parameters():
        weights.data += torch.randn(weights.shape, generator=drawn) * 0.05
    return detector


def picture(seed: int, size_px: int) -> NDArray[np.float32]:
    """Return random tiles with noise, (1, 3, size, size)."""
    random = np.random.default_rng(seed)
    tiles = random.random((3, size_px // 32, size_px // 32), np.float32)
    noise = random.normal(0, 0.1, (3, size_px, size_px)).astype(np.float32)
    pixels = np.clip(np.kron(tiles, np.ones((1, 32, 32), np.float32)) + noise, 0, 1)
    return np.asarray(pixels[None], np.float32)


def target_sets(
    counts: Sequence[int], size_px: int, classes: int, *, masks: bool, seed: int = 1
) -> list[Targets]:
    """Return sets of ellipses of all sizes, some reaching out of the square, many overlapping."""
    random = np.random.default_rng(seed)
    return [_ellipses(random, count, size_px, classes, masks=masks) for count in counts]


def _ellipses(
    random: np.random.Generator, count: int, size_px: int, classes: int, *, masks: bool
) -> Targets:
    largest = 60 if count > 100 else size_px / 2
    centres, sides = random.uniform(0, size_px, (count, 2)), random.uniform(6, largest, (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    ids = np.full(count, 2) if count == 7 else random.integers(0, classes, count)
    grids = None
    if masks:
        points = np.arange(size_px // 4) * 4 + 2
        x, y = (points - centres[:, [axis]] for axis in range(2))
        halves = sides[:, :, None] / 2
        grids = (x / halves[:, 0])[:, None] ** 2 + (y / halves[:, 1])[:, :, None] ** 2 < 1
    return targets_of(boxes, ids, grids, size_px=size_px)


class Case:
    """One detector with its target sets and their rows."""

    def __init__(self, name: str, size_px: int, counts: Sequence[int] = COUNTS) -> None:
        self.detector = load(name, size_px)
        masks = self.detector.task == "segment"
        self.classes = len(self.detector.names)
        self.criterion = criterion_of(
            end_to_end=self.detector.family == "26", masks=masks, reg_max=self.detector.reg_max
        )
        self.rules = rules_of(self.criterion, self.detector.strides, size_px)
        self.sets = target_sets(counts, size_px, self.classes, masks=masks)

    def raw(self, seed: int) -> Raw:
        return self.detector.forward(picture(seed, self.detector.size_px))

    def row(self, raw: Raw, sets: Sequence[Targets] | None = None, threads: int = 2) -> LossRow:
        backend = Sparse(self.detector, self.sets if sets is None else sets, threads)
        with backend.open():
            return backend.rows.row(backend.head(raw))

    def stock(self, raw: Raw, targets: Targets) -> list[float]:
        """Return what `model.loss` gives for the pair."""
        import torch

        from tasks.compute.losses.targets import stock_batch

        batch: dict[str, Any] = {
            key: torch.from_numpy(values)
            for key, values in stock_batch(targets, self.detector.size_px).items()
        }
        assert self.detector.criterion is not None  # made, it gives the network its gains
        with torch.no_grad():
            _, items = self.detector.net.loss(batch, raw.preds(0))
        return [float(items[f"{name}_loss"]) for name in self.criterion.components]


@pytest.fixture(scope="session")
def case() -> Callable[..., Case]:
    return cache(Case)
