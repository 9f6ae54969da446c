"""Technical quality of photographs: what decides each score."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from conf.keys import Frozen, Recipe

Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
BrisqueBackend = Literal["svm770", "piq"]
ClipIqaBackend = Literal["encoder", "piq"]
GOOD_AND_BAD = (("Good photo.", "Bad photo."),)


class QualityRecipe(Recipe):
    """What needs no weights: sharpness, exposure, noise, and the natural scene statistics that
    BRISQUE scores; the input `content` says of which images."""

    kind: ClassVar[str] = "photo-quality"
    version: ClassVar[int] = 4
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content"})

    preview_px: int = Field(default=512, ge=64)
    """The longest side of the grey image that sharpness, exposure and noise are taken of."""
    thumbnail_px: int = Field(default=192, ge=16)
    """The longest side of the small JPEG that pages show."""


class NoiseRecipe(Recipe):
    """The noise of originals, upright, at the resolution of the camera: standard images are shrunk,
    and shrinking averages noise away. The input `content` says of which originals."""

    kind: ClassVar[str] = "photo-noise"
    version: ClassVar[int] = 2
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content"})


class BrisqueRecipe(Recipe):
    """BRISQUE, of the input `quality`. Scores of two backends are not interchangeable."""

    kind: ClassVar[str] = "photo-brisque"

    backend: BrisqueBackend
    """ "piq": the official 774 support vectors; "svm770": those of the package brisque 0.2.0."""
    weights_sha256: str = Sha256


class ClipIqaRecipe(Recipe):
    """CLIP-IQA by the encoder that labels the photos, of the inputs `images` and `prompts`."""

    kind: ClassVar[str] = "photo-clip-iqa"

    backend: Literal["encoder"] = "encoder"
    pairs: tuple[tuple[str, str], ...] = Field(default=GOOD_AND_BAD, min_length=1)
    """Antonyms, the good one first; the score is the mean over pairs of the good one's share."""


class PiqClipIqaRecipe(Recipe):
    """CLIP-IQA by piq's own model; the input `content` says of which images."""

    kind: ClassVar[str] = "photo-clip-iqa-piq"
    row_inputs: ClassVar[frozenset[str]] = frozenset({"content"})

    backend: Literal["piq"] = "piq"
    pairs: tuple[tuple[str, str], ...] = GOOD_AND_BAD
    size_px: int = Field(default=336, ge=32)
    """The bicubic resize of the score; the raw value has none."""
    weights_sha256: str = Sha256
    tokens_sha256: str = Sha256
    library: str
    """The package that runs it, such as "piq==0.8.0"."""


class QualitySettings(Frozen):
    """Which scores a run makes, and by what."""

    brisque_backend: BrisqueBackend = "svm770"
    brisque_weights: Path | None = None
    """piq's brisque_svm_weights.pt, where it does not lie in piq's own cache."""
    clip_iqa_backend: ClipIqaBackend = "encoder"
    clip_iqa_pairs: tuple[tuple[str, str], ...] = Field(default=GOOD_AND_BAD, min_length=1)
    """For the encoder; piq's model knows one pair only."""
    clip_iqa_weights: Path | None = None
    """The folder of piq's RN50.pt and clipiqa_tokens.pt, where it is not piq's own cache."""
