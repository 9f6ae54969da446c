"""One detector of every head family and task, with random weights, at 128 px."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.load import resolve
from tasks.models.yolo import new_detector
from tasks.models.yolo.detector import Detector
from tasks.models.yolo.heads import Raw

SIZE_PX = 128
NAMES = ("yolov8n", "yolov8n-seg", "yolo11n", "yolo11n-seg", "yolo26n", "yolo26n-seg")
_RUNTIME = Runtime(device="cpu", progress=False)


def random_spec(name: str, seed: int = 0) -> ModelSpec:
    spec = ModelSpec(family="yolo", name=name, weights=f"random:{seed}", precision="fp32")
    return resolve(spec, _RUNTIME)


@cache
def _loaded(name: str) -> Detector:
    """Return a detector whose head says something else everywhere.

    Random weights are near zero: every anchor says the same, and no test could tell which one was
    meant. So the last layers are drawn anew, and scaled to what reaches them.
    """
    import torch

    torch.set_num_threads(1)
    detector = new_detector(random_spec(name), _RUNTIME, SIZE_PX)
    drawn = torch.Generator().manual_seed(0)
    module = detector.net.model[-1]
    hooks = []
    for branches, spread in (("cv2", 2.0), ("cv3", 2.0), ("cv4", 1.0)):
        for branch in (branches, f"one2one_{branches}"):
            for level in getattr(module, branch, None) or ():
                level[-1].weight.data = torch.randn(level[-1].weight.shape, generator=drawn)
                level[-1].bias.data.zero_()
                hooks.append(level[-1].register_forward_hook(_scale_to(spread)))
    detector.forward(_squares(detector))
    for hook in hooks:
        hook.remove()
    return detector


def _scale_to(spread: float) -> Callable[..., None]:
    def hook(module: Any, given: Any, output: Any) -> None:
        module.weight.data *= spread / output.std()

    return hook


def _pictures() -> list[NDArray[np.uint8]]:
    drawn = np.random.default_rng(0)
    shapes = ((90, 160), (160, 90), (40, 50))
    return [drawn.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


def _squares(detector: Detector) -> NDArray[np.float32]:
    """Return the pictures as squares (3, 3, size, size), their even margins roughened.

    Anchors that see the same are equally sure, and then the order that a library's sort leaves them
    in decides which are kept; that differs between processors, and is not what is tested here.
    """
    pixels = np.stack([detector.letterbox(rgb).pixels for rgb in _pictures()])
    noise = np.random.default_rng(1).uniform(0, 0.5, pixels.shape)
    return np.asarray((pixels + noise) / 1.5, np.float32)


@cache
def _raw(name: str) -> Raw:
    detector = _loaded(name)
    return detector.forward(_squares(detector))


@pytest.fixture(params=NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return _loaded(request.param)


@pytest.fixture
def detector_named() -> Callable[[str], Detector]:
    return _loaded


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(store=tmp_path / "store", models=tmp_path / "models", device="cpu")


@pytest.fixture
def squares(detector: Detector) -> NDArray[np.float32]:
    """Return the three pictures as the squares (3, 3, size, size) that `raw` is of."""
    return _squares(detector)


@pytest.fixture
def raw(detector: Detector) -> Raw:
    """Return what the detector says of the three pictures."""
    return _raw(detector.spec.name)
