"""Small real inputs for flows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.models import ModelSpec
from conf.runtime import Runtime

TOY = ModelSpec(family="toy", precision="fp32")


@pytest.fixture
def add_photos(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that puts so many different photographs into a folder, and returns it."""

    def add(count: int, *, first: int = 0) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(first, first + count):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        return folder

    return add


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """Return a runtime whose store is the test's own."""
    return Runtime(store=tmp_path / "store", batch_size=2, part_rows=2, lanes=1, progress=False)


@pytest.fixture
def toy() -> ModelSpec:
    """Return the spec of the toy encoder."""
    return TOY
