"""Ground truth: where it comes from, and the recipe of what is known of a dataset's images."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from conf.dataset import AnySource
from conf.keys import Frozen, Recipe


class AnnotationRecipe(Recipe):
    """What is known to be in images: nothing but its rows, wherever they were read."""

    kind: ClassVar[str] = "annotations"
    rows_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The sha256 of classes, objects and faults, `storage.annotations.tables.rows_sha256`."""
    images: int = Field(ge=0)
    """Of how many images something is known."""


class CellLabels(Frozen):
    """What lies in the scenes of source "cells"; it is known without a file."""

    format: Literal["cells"] = "cells"


class YoloLabels(Frozen):
    """Text files of boxes and polygons, one for an image: "images/a.jpg" has "labels/a.txt"."""

    format: Literal["yolo"] = "yolo"
    root: Path
    """The folder that the images' uris and the label files are relative to."""
    data: Path | None = None
    """The YAML file with the classes' `names`, relative to `root`; None: data.yaml."""
    names: tuple[str, ...] | None = None
    """The classes, where no YAML file names them."""

    @field_validator("names")
    @classmethod
    def _are_different(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _different(names)


class CocoLabels(Frozen):
    """One JSON file of boxes, polygons and run lengths: "instances_val2017.json"."""

    format: Literal["coco"] = "coco"
    path: Path
    """The file. Its `file_name`s are the images' uris, or their ends."""


class VocLabels(Frozen):
    """XML files of boxes, one for an image, in Pascal VOC's format."""

    format: Literal["voc"] = "voc"
    root: Path
    """The folder of the XML files: "VOC2012/Annotations". An image's has its name."""
    names: tuple[str, ...] | None = None
    """The classes; None: those that the files name, sorted."""
    first_pixel: Literal[0, 1] = 1
    """The coordinate of the first pixel. Pascal VOC counts from 1; some tools count from 0."""

    @field_validator("names")
    @classmethod
    def _are_different(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return _different(names)


def _different(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    twice = sorted({name for name in names or () if names and names.count(name) > 1})
    if twice:
        raise ValueError(f"two classes bear the name {twice[0]!r}; rename one of them")
    return names


AnyLabels = Annotated[
    CellLabels | YoloLabels | CocoLabels | VocLabels, Field(discriminator="format")
]
"""A field that takes labels of any format, chosen by its `format`."""


class Preset(Frozen):
    """The settings of flow `annotations`: take up a source and what is known of its images."""

    source: AnySource
    labels: AnyLabels
