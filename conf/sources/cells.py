"""Rendered scenes of a blood smear: every cell's box, mask and class is known."""

from typing import Literal

from pydantic import Field

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """Square scenes of red cells, five kinds of white cells and platelets, drawn by seed.

    Every fifth scene is the split "test". The first scenes of a larger count are the same.
    """

    source: Literal["cells"] = "cells"
    count: int = Field(default=64, ge=1, le=1_000_000)
    """How many scenes."""
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    """Other seeds draw other scenes."""
    size_px: int = Field(default=320, ge=64, le=4096)
    """Their width and height; cells grow with it."""
