"""Two ways to a row of losses: our kernels, and the stock criterion that they are held to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conf.losses import Backend as BackendName
from tasks.compute.losses.columns import target_arrays
from tasks.compute.losses.heads import criterion_of, head_arrays, rules_of
from tasks.compute.losses.kernels.arrays import HeadArrays
from tasks.compute.losses.matrix import LossRows
from tasks.compute.losses.targets import Targets
from tasks.models.yolo.detector import Detector, Raw


@dataclass(frozen=True, eq=False)
class Columns:
    """Losses (C, N), normalisers (N,) and positives (N,) of one head."""

    losses: NDArray[np.float32]
    normalisers: NDArray[np.float32]
    positives: NDArray[np.int32]

    def put(self, places: NDArray[np.int64], other: "Columns") -> None:
        """Fill the columns at `places`."""
        self.losses[:, places] = other.losses
        self.normalisers[places] = other.normalisers
        self.positives[places] = other.positives


class Backend(Protocol):
    """Losses of one head after the other against the same target sets."""

    def open(self) -> Any:
        """Return a context that holds what rows need."""

    def row(self, raw: Raw) -> Columns:
        """Return the losses of the one image in `raw` against every target set."""


def backend_of(name: BackendName, detector: Detector, sets: Sequence[Targets]) -> Backend:
    """Return the backend of this name for the target sets of `detector`."""
    return Sparse(detector, sets) if name == "sparse" else Stock(detector, sets)


class Sparse:
    """The kernels."""

    def __init__(
        self, detector: Detector, sets: Sequence[Targets], threads: int | None = None
    ) -> None:
        self.criterion = criterion_of(
            end_to_end=detector.family == "26",
            masks=detector.task == "segment",
            reg_max=detector.reg_max,
        )
        assert self.criterion.components == detector.components
        self.rules = rules_of(self.criterion, detector.strides, detector.size_px)
        targets = target_arrays(self.rules, sets, len(detector.names))
        self.rows = LossRows(self.criterion, self.rules, targets, threads)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the threads."""
        with self.rows.open():
            yield

    def head(self, raw: Raw) -> HeadArrays:
        """Return the head of the one image in `raw`, decoded."""
        head = raw.head(0)
        return head_arrays(
            self.rules,
            head.boxes,
            head.scores,
            head.mask_coefficients,
            head.proto,
            head.semantic,
            *raw.decoded(0),
        )

    def row(self, raw: Raw) -> Columns:
        """Return the losses of the one image in `raw` against every target set."""
        made = self.rows.row(self.head(raw))
        return Columns(made.losses, made.normalisers, made.positives)


class Stock:
    """Ultralytics' own criterion, one pair at a time: slow, and the truth."""

    def __init__(self, detector: Detector, sets: Sequence[Targets]) -> None:
        self.detector, self.sets = detector, sets

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold nothing."""
        yield

    def row(self, raw: Raw) -> Columns:
        """Return the losses; the criterion tells neither normalisers nor positives."""
        pairs = [self.detector.stock_losses(raw, 0, targets) for targets in self.sets]
        losses = [[pair[name] for pair in pairs] for name in self.detector.components]
        count = len(self.sets)
        return Columns(
            np.array(losses, np.float32).reshape(len(self.detector.components), count),
            np.full(count, np.nan, np.float32),
            np.full(count, -1, np.int32),
        )
