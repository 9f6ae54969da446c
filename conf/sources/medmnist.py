"""A dataset of MedMNIST: its archive, downloaded by the medmnist package where it is absent."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """Images, labels with their names, and the splits train, val and test, in that order."""

    source: Literal["medmnist"] = "medmnist"
    name: str
    """The dataset: "bloodmnist", "pathmnist"."""
    size_px: Literal[28, 64, 128, 224] = 28
    """The side of the images."""
    root: Path = Path("~/.medmnist")
    """Where the archive lies or will lie: medmnist's own place. It is never part of a key."""
    download: bool = True
    """Whether an absent archive is downloaded."""
    max_gigabytes: float = Field(default=16.0, gt=0)
    """The largest array (10^9 bytes, unpacked) that is taken into memory."""
