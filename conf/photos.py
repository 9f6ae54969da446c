"""Photographs: what ingest and preprocess make, and what a batch of photos looks like."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from conf.dataset import AnySource
from conf.keys import Frozen, Recipe
from conf.models import ModelSpec
from conf.prompts import PromptSet
from conf.quality import QualitySettings
from conf.runtime import Place

Stage = Literal["all", "ingest", "preprocess", "features"]


class ExifRecipe(Recipe):
    """What a photo says of itself; the input `content` says of which photos."""

    kind: ClassVar[str] = "photo-exif"
    version: ClassVar[int] = 2
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content"})


class StandardRecipe(Recipe):
    """Upright sRGB JPEGs of photos, as they are and at a standard size; the input `content` says of
    which photos."""

    kind: ClassVar[str] = "photo-standard"
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content"})

    max_side_px: int = Field(default=2048, ge=64)
    """The longest side of the standard JPEG; photos are never enlarged."""
    jpeg_quality: int = Field(default=92, ge=1, le=100)


class BatchPhoto(BaseModel):
    """A photo of a batch. Fields that are not named here are kept as they are."""

    model_config = ConfigDict(extra="allow")

    photo_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The sha256 of the original's content."""
    original_uri: str = Field(min_length=1)
    """Relative to the batch's file, as all uris are."""
    ranking_uri: str | None = None
    """The upright original."""
    std_uri: str | None = None
    """The upright original at its standard size."""
    exif: dict[str, Any] | None = None
    format: str | None = None
    processing_metadata: dict[str, Any] | None = None
    duplicates: list[str] | None = None
    """The uris of other files with the same content."""


class FailedPhoto(BaseModel):
    """A photo that a stage could not do its work on. Other fields are kept, too."""

    model_config = ConfigDict(extra="allow")

    photo_id: str | None = None
    """None where its bytes could not be had."""
    original_uri: str | None = None
    stage: str | None = None
    reason: str | None = None


class Batch(BaseModel):
    """A batch of photos, as one stage hands it to the next."""

    model_config = ConfigDict(extra="allow")

    batch_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """Names files: letters, digits, dots, dashes and underscores."""
    artifacts: list[BatchPhoto]
    failed: list[FailedPhoto] = []


class Preset(Frozen):
    """The settings of flow `photos`."""

    source: AnySource
    """Photos; a batch JSON (source = "photo_batch") starts with the features."""
    stage: Stage = "all"
    """The stage to run alone. "features" takes a folder as it is."""
    model: ModelSpec
    """The encoder that labels."""
    prompts: PromptSet
    """The labels and the templates that say them."""
    top: int = Field(default=5, ge=1)
    max_side_px: int = Field(default=2048, ge=64)
    jpeg_quality: int = Field(default=92, ge=1, le=100)
    quality: QualitySettings = QualitySettings()
    batch_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """None: named by the rows of the source, so that the same photos are the same batch."""
    out: Place | None = None
    """The folder for the batch's JSON, table, page and JPEGs; None: `exports` in the store."""
    show_private: bool = False
    """Whether the page tells where a photo was taken, and by whom."""
