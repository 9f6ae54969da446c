"""Images in one NumPy archive, laid out as MedMNIST does."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """The arrays train_images, train_labels, val_..., test_..., in the order train, val, test."""

    source: Literal["npz"] = "npz"
    path: Path
    """The archive: "data/bloodmnist.npz". It is never part of a key."""
    labels: bool = True
    """Whether labels are read; false for archives with several labels an image."""
    max_gigabytes: float = Field(default=16.0, gt=0)
    """The largest array (10^9 bytes, unpacked) that is taken into memory."""
