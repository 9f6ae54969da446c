"""Images in a folder and all folders below it."""

from pathlib import Path
from typing import Literal

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """Every image below `root`, sorted by its path relative to it."""

    source: Literal["folder"] = "folder"
    root: Path
    """The folder: "~/Pictures". It is never part of a key."""
    split_from: Literal["folder"] | None = None
    """ "folder": the first folder below the root names the split."""
    label_from: Literal["folder"] | None = None
    """ "folder": the first folder below the root, or below the split's, names the label."""
