"""The 1,797 handwritten digits that ship inside scikit-learn."""

from typing import Literal

from conf.dataset import SourceSpec


class Source(SourceSpec):
    """Digits of 8 x 8 pixels with labels 0 to 9; every fifth row is the split "test"."""

    source: Literal["digits"] = "digits"
