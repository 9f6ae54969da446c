"""What a concept store asks of a model, whichever it is: nothing here loads or knows one.

It lies outside `storage.concepts`, because adapters need it, and every plan imports an adapter:
that package, HDF5 included, would come along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Float32 = NDArray[np.float32]


class EncodedImages(Protocol):
    """The features of one batch of images."""

    @property
    def pooled(self) -> Float32:
        """(batch, dim)."""
        ...

    @property
    def tokens(self) -> Float32 | None:
        """(batch, token_count, token_dim); None unless asked for."""
        ...


class Encoder(Protocol):
    """A model that puts images and texts into one space.

    One with patch tokens may say how they compare with texts: `token_space`, a TokenSpace. Without
    that they are taken not to.
    """

    @property
    def dim(self) -> int:
        """Length of a pooled image feature and of a text feature."""
        ...

    @property
    def token_count(self) -> int:
        """Patch tokens an image has; 0 when the model gives none."""
        ...

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied by (already exponentiated)."""
        ...

    @property
    def logit_bias(self) -> float | None:
        """What is added to scaled cosines; None when the model was trained without one."""
        ...

    @property
    def activation(self) -> str:
        """How logits become scores: "softmax" or "sigmoid"."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells this model's features from another's: the sha256 of its weights, say."""
        ...

    def preprocess(self, image: "Image.Image") -> Float32:
        """Return the model's input, (3, height, width), for an RGB `image` of any size."""
        ...

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return the features of `pixels`, (batch, 3, height, width), as `preprocess` gives
        them."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Return the features of `texts`: (n, dim), each row of unit norm."""
        ...


@dataclass(frozen=True, eq=False)
class TextTokens:
    """The tokens of texts, projected into the space of patch tokens."""

    tokens: Float32
    """(n, T_txt, token_dim)."""
    spans: NDArray[np.int64]
    """(n, 2): first token of the word that was asked for, and the one behind its last."""


@runtime_checkable
class HasTextTokens(Protocol):
    """An encoder that projects text tokens into the space of patch tokens."""

    concept_logit_scale: float
    concept_logit_bias: float | None

    def encode_text_tokens(
        self, texts: Sequence[str], words: Sequence[str] | None = None
    ) -> TextTokens:
        """Return the tokens of `texts` and where in each the word of `words` stands; without words,
        the whole text."""
        ...


@dataclass(frozen=True, eq=False)
class TokenSpace:
    """How patch tokens get into the space of texts."""

    name: Literal["text", "projected", "none"]
    """ "text": they are there; "projected": `projection` puts them there; "none": nothing does."""
    projection: Float32 | None = None
    """(token_dim, dim)."""
    grid: Literal["image", "center"] = "image"
    """Which part of the image the patches tile: all of it, squashed to a square, or the square in
    its middle."""


def text_tokens(
    encoder: Encoder, texts: Sequence[str], words: Sequence[str] | None = None
) -> TextTokens | None:
    """Return the text tokens of `texts`, or None for a model that has none."""
    if not isinstance(encoder, HasTextTokens):
        return None
    return cast(HasTextTokens, encoder).encode_text_tokens(texts, words)


def token_space(encoder: Encoder) -> TokenSpace:
    """Return how the patch tokens of `encoder` compare with its texts."""
    said: Any = getattr(encoder, "token_space", None)
    return said if encoder.token_count and said is not None else TokenSpace("none")


def logits_of(encoder: Encoder) -> dict[str, float]:
    """Return the logit parameters that the model has, by the name of their attribute."""
    local = encoder if isinstance(encoder, HasTextTokens) else None
    found = {
        "logit_scale": encoder.logit_scale,
        "logit_bias": encoder.logit_bias,
        "concept_logit_scale": local.concept_logit_scale if local else None,
        "concept_logit_bias": local.concept_logit_bias if local else None,
    }
    return {name: value for name, value in found.items() if value is not None}
