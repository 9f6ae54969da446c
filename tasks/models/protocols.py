"""What an image-text encoder is: the one shape that every model is adapted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """The features of one batch of images."""

    pooled: Float32
    """(batch, dim), each row of unit norm."""
    tokens: Float32 | None = None
    """(batch, token_count, token_dim), after the tower's last norm, neither projected nor scaled to
    unit norm; None unless asked for."""


class ImageTextEncoder(Protocol):
    """A model that puts images and texts into one space. Every method may be called from several
    threads at once, and none keeps what it was given."""

    dim: int
    """Length of a pooled image feature and of a text feature."""
    token_count: int
    """Patch tokens an image has; 0 when the model gives none."""
    token_dim: int
    """Length of a patch token; 0 when the model gives none."""
    logit_scale: float
    """What cosines are multiplied by (already exponentiated)."""
    logit_bias: float | None
    """What is added to scaled cosines; None when the model was trained without one."""
    activation: Literal["softmax", "sigmoid"]
    """How scaled cosines become probabilities: among the labels, or for each label by itself."""
    fingerprint: str
    """sha256, in hex, of the weights as they lie in memory."""
    device: str
    """Where it runs: "cpu", "cuda", "mps"."""

    def preprocess(self, image: Image.Image) -> Float32:
        """Return the model's input, (3, height, width), for an RGB `image` of any size."""
        ...

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return the features of `pixels`, (batch, 3, height, width), as `preprocess` gives them.

        Raises RecipeError when tokens are asked of a model that has none.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Return the features of `texts`: (n, dim), each row of unit norm."""
        ...
