"""The losses of one image: what the stock criterion gives a batch of one, without its cost.

The kernels of the loss matrix, asked for a single pair; the stock criterion is their oracle.
"""

from collections.abc import Mapping

import numpy as np

from tasks.compute.losses.columns import target_arrays
from tasks.compute.losses.heads import criterion_of, head_arrays, rules_of
from tasks.compute.losses.kernels.rows import row_losses
from tasks.compute.losses.matrix import scratch_of
from tasks.compute.losses.targets import Targets
from tasks.models.yolo.detector import Detector, Raw


class ImageLosses:
    """The loss items of a detector's head. Its method may be called from several threads."""

    def __init__(self, detector: Detector) -> None:
        self._criterion = criterion_of(
            end_to_end=detector.family == "26",
            masks=detector.task == "segment",
            reg_max=detector.reg_max,
        )
        self._rules = rules_of(self._criterion, detector.strides, detector.size_px)
        self._classes = len(detector.names)

    def of(self, raw: Raw, image: int, targets: Targets) -> Mapping[str, float]:
        """Return the losses of one image of a batch against `targets`, by component."""
        head = raw.head(image)
        arrays = head_arrays(
            self._rules,
            head.boxes,
            head.scores,
            head.mask_coefficients,
            head.proto,
            head.semantic,
            *raw.decoded(image),
        )
        columns = target_arrays(self._rules, [targets], self._classes)
        losses = np.zeros((len(self._criterion.components), 1), np.float32)
        sums, positives = np.zeros(1, np.float32), np.zeros(1, np.int32)
        memory = scratch_of(self._rules, columns)
        row_losses(arrays, columns, self._rules, memory, 0, 1, losses, sums, positives)
        return dict(zip(self._criterion.components, losses[:, 0].tolist(), strict=True))
