"""Heads of every family with scattered random weights, target sets, and the stock losses."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from benchmarks._losses import as_tensors, detector_of, picture, target_sets
from tasks.compute.losses.matrix import LossRow
from tasks.compute.losses.targets import Targets
from tasks.losses.backends import Sparse
from tasks.models.yolo.detector import Detector, Raw

COUNTS = (0, 300, 7, 1, 12, 3)
"""Targets of each set: none, as many as there can be, of a single class, and so on."""


class Case:
    """One detector with its target sets and their rows."""

    def __init__(self, detector: Detector, counts: Sequence[int]) -> None:
        self.detector = detector
        self.classes = len(detector.names)
        self.sets = target_sets(counts, detector)
        sparse = Sparse(detector, self.sets)
        self.criterion, self.rules = sparse.criterion, sparse.rules

    def raw(self, seed: int) -> Raw:
        return self.detector.forward(picture(seed, self.detector.size_px))

    def row(self, raw: Raw, sets: Sequence[Targets] | None = None, threads: int = 2) -> LossRow:
        backend = Sparse(self.detector, self.sets if sets is None else sets, threads)
        with backend.open():
            return backend.rows.row(backend.head(raw))

    def stock(self, raw: Raw, targets: Targets) -> list[float]:
        """Return what `model.loss` gives for the pair."""
        import torch

        batch = as_tensors(targets, self.detector.size_px)
        assert self.detector.criterion is not None  # made, it gives the network its gains
        with torch.no_grad():
            _, items = self.detector.net.loss(batch, raw.preds(0))
        return [float(items[f"{name}_loss"]) for name in self.criterion.components]


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Case]:
    folder: Path = tmp_path_factory.mktemp("cases")
    load = cache(lambda name, size_px: detector_of(name, size_px, folder))
    return cache(lambda name, size_px, counts=COUNTS: Case(load(name, size_px), counts))
