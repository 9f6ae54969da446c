"""Zero-shot labels: what decides them."""

from typing import ClassVar

from pydantic import Field

from conf.dataset import AnySource
from conf.keys import Frozen, Recipe
from conf.models import ModelSpec
from conf.prompts import PromptSet


class LabelRecipe(Recipe):
    """The labels of each image that fit best, of the inputs `images` and `prompts`."""

    kind: ClassVar[str] = "image-labels"

    top: int = Field(default=5, ge=1)
    """How many labels an image gets, best first."""


class Preset(Frozen):
    """The settings of flow `labels`: encode a dataset and a prompt set, and score one by the
    other."""

    source: AnySource
    model: ModelSpec
    prompts: PromptSet
    top: int = Field(default=5, ge=1)
