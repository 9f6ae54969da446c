from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.load import resolve

PINNED = [-0.19138947129249573, 0.15273547172546387, -0.020724637433886528]
FINGERPRINT = "fa9f7f48f652de48"
RED = Image.new("RGB", (5, 9), (255, 0, 0))


def test_its_rows_are_the_same_bytes_in_every_batch(encoder: Callable[..., Any]) -> None:
    toy = encoder("toy")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 3, 8, 8)).astype(np.float32)
    whole = toy.encode_images(pixels, tokens=True)
    for row in (0, 17, 63):
        alone = toy.encode_images(pixels[row : row + 1], tokens=True)
        assert alone.pooled.tobytes() == whole.pooled[row].tobytes()
        assert alone.tokens.tobytes() == whole.tokens[row].tobytes()


def test_its_features_never_change(encoder: Callable[..., Any]) -> None:
    toy = encoder("toy")
    features = toy.encode_images(toy.preprocess(RED)[None]).pooled[0, :3]
    assert features.tolist() == pytest.approx(PINNED, abs=1e-7)
    assert toy.fingerprint.startswith(FINGERPRINT)


def test_it_has_no_other_weights_or_precision(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> None:
    with pytest.raises(RecipeError, match="there is one toy only"):
        resolve(make_spec("toy", name="large"), runtime)
    with pytest.raises(RecipeError, match='Set precision = "fp32"'):
        resolve(make_spec("toy", precision="bf16"), runtime)
