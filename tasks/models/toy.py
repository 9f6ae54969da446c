"""A TOY encoder: fixed random projections, no torch, no meaning.

It is for tests of everything around a model (kill tests, the store, scheduling) and for nothing
else: its features say what colour is where, and its texts are hashes. Whole-number arithmetic makes
every row bit-identical, whatever batch it was part of.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from storage.encoders import TokenSpace
from tasks.models.identity import Sha256, file_sha256, fingerprint_of, settled
from tasks.models.protocols import EncodedImages, Float32

_SIDE_PX = 8
_DIM = 32
_TOKENS = 16  # a grid of 4 x 4, each of 2 x 2 pixels
_LIBRARY = "featuremill-toy==1"


class ToyEncoder:
    """A deterministic stand-in for a model; see the module."""

    dim = _DIM
    token_count = _TOKENS
    token_dim = _DIM
    logit_scale = 10.0
    logit_bias = None
    activation = "softmax"
    device = "cpu"
    token_space = TokenSpace("text")  # for tests of heatmaps, which mean as little as the rest

    def __init__(self) -> None:
        self._whole = _projection("whole", 3 * _SIDE_PX * _SIDE_PX)
        self._patch = _projection("patch", 3 * 2 * 2)
        self.fingerprint = _fingerprint()

    def preprocess(self, image: Image.Image) -> Float32:
        """Return (3, 8, 8), whole grey levels from 0 to 255."""
        small = image.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
        return np.asarray(small, np.float32).transpose(2, 0, 1)

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return a seeded random projection of `pixels`, (batch, 3, 8, 8), of unit norm."""
        rows = len(pixels)
        pooled = _project(pixels.reshape(rows, -1), self._whole)
        if not tokens:
            return EncodedImages(_unit(pooled))
        grid = pixels.reshape(rows, 3, 4, 2, 4, 2).transpose(0, 2, 4, 1, 3, 5)
        patches = _project(grid.reshape(rows, _TOKENS, -1), self._patch)
        return EncodedImages(_unit(pooled), (patches / 1024).astype(np.float32))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Return a unit vector for each text, drawn by the hash of its UTF-8 bytes."""
        rows = [_whole_numbers(f"text:{text}", _DIM) for text in texts]
        return _unit(np.array(rows, np.int64).reshape(len(texts), _DIM))


def identify(spec: ModelSpec, models_root: Path, sha256: Sha256 = file_sha256) -> ModelSpec:
    """Return `spec` with its checksum and library filled in; no file is read."""
    _refuse_other(spec)
    return settled(spec, sha256=_fingerprint(), library=_LIBRARY)


def load(spec: ModelSpec, models_root: Path, device: str) -> ToyEncoder:
    """Return the toy; nothing is read and the device is always the CPU."""
    identify(spec, models_root)
    return ToyEncoder()


def _refuse_other(spec: ModelSpec) -> None:
    if (spec.name, spec.weights) != ("default", "default"):
        raise RecipeError(
            f"The toy encoder has no {spec.name!r} ({spec.weights!r}). "
            "Leave out name and weights: there is one toy only."
        )
    if spec.precision != "fp32":
        raise RecipeError(
            f"precision = {spec.precision!r} was asked of the toy encoder, which computes fp32. "
            'Set precision = "fp32".'
        )


def _whole_numbers(seed: str, count: int) -> list[int]:
    """Return `count` numbers from -128 to 127 that the text `seed` decides."""
    drawn = hashlib.shake_256(seed.encode("utf-8", "surrogatepass")).digest(count)
    return [byte - 128 for byte in drawn]


def _projection(name: str, width: int) -> NDArray[np.int64]:
    drawn = _whole_numbers(f"toy:{name}", (width + 1) * _DIM)
    return np.array(drawn, np.int64).reshape(width + 1, _DIM)


def _project(levels: Float32, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    # The last row is a bias: without one a black image would have no direction.
    projected: NDArray[np.int64] = levels.astype(np.int64) @ weights[:-1] + weights[-1]
    return projected


def _unit(rows: NDArray[np.int64]) -> Float32:
    lengths = np.sqrt((rows * rows).sum(axis=-1, keepdims=True).astype(np.float64))
    unit: Float32 = (rows / lengths).astype(np.float32)
    return unit


def _fingerprint() -> str:
    return fingerprint_of(
        (name, "int64", weights.shape, weights.tobytes())
        for name, weights in (
            ("whole", _projection("whole", 3 * _SIDE_PX * _SIDE_PX)),
            ("patch", _projection("patch", 3 * 2 * 2)),
        )
    )
