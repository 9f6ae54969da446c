"""Image features: what decides them."""

from typing import ClassVar

from conf.dataset import AnySource
from conf.keys import Frozen, Recipe
from conf.models import ModelSpec


class ImageRecipe(Recipe):
    """Float16 unit features of image contents; the input `content` says of which."""

    kind: ClassVar[str] = "image-features"
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content"})

    model: ModelSpec
    """The encoder."""
    tokens: bool = False
    """Whether patch tokens are kept beside the pooled features."""


class Preset(Frozen):
    """The settings of flow `images`: encode a dataset."""

    source: AnySource
    model: ModelSpec
    tokens: bool = False
