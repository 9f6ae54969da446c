"""Detection and segmentation models of Ultralytics: the heads of v8, 11 and 26.

They are called as plain modules, with our own letterbox and choice of boxes, and never through
`YOLO.predict`: it copies, fuses and hooks models in ways that change from version to version.
"""

from pathlib import Path
from typing import Never

from conf.errors import RecipeError
from conf.models import ModelSpec
from tasks.models.identity import title
from tasks.models.yolo.files import identify
from tasks.models.yolo.loading import load_detector, new_detector

__all__ = ["identify", "load", "load_detector", "new_detector"]


def load(spec: ModelSpec, models_root: Path, device: str) -> Never:
    """Refuse: these models find objects and put no texts beside images."""
    raise RecipeError(
        f"An image-text encoder was asked of {title(spec)}, which finds objects. Run a preset of "
        'flow = "detections" with it, or take an encoder: family = "pocket" or "open_clip".'
    )
