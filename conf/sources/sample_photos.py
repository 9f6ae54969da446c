"""The colour photographs that ship inside installed packages; nothing is downloaded."""

from typing import Literal

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """Photographs of scikit-learn, scikit-image and, where it is installed, Ultralytics."""

    source: Literal["sample_photos"] = "sample_photos"
