import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models import pocket
from tasks.models.identity import LibraryMissing
from tasks.models.load import resolve
from tasks.models.protocols import Float32

# What the encoder can know: things of which ImageNet has classes, or likes of them.
PHOTOS = {
    "skimage/data/chelsea.png": "cat",
    "skimage/data/coffee.png": "cup of coffee",
    "skimage/data/rocket.jpg": "rocket",
    "skimage/data/motorcycle_left.png": "motorcycle",
    "skimage/data/retina.jpg": "eye",
    "sklearn/datasets/images/china.jpg": "temple",
    "sklearn/datasets/images/flower.jpg": "flower",
    "ultralytics/assets/bus.jpg": "bus",
    "ultralytics/assets/zidane.jpg": "man in a suit",
    "skimage/data/astronaut.png": "astronaut",  # no class is near: not expected to be right
    "skimage/data/hubble_deep_field.jpg": "galaxies",  # nor is one near this
}
OTHERS = ["dog", "car", "mountain", "beach", "airplane", "pizza", "tree", "guitar"]


def installed_photo(name: str) -> Image.Image:
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / rest) as image:
        return image.convert("RGB")


def probabilities(model: Any, features: Float32, labels: list[str]) -> Float32:
    texts = model.encode_texts([f"a photo of a {label}" for label in labels])
    scaled = model.logit_scale * features @ texts.T
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    likely: Float32 = weights / weights.sum(axis=1, keepdims=True)
    return likely


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [installed_photo(name) for name in PHOTOS]


@pytest.fixture(scope="module")
def features(encoder: Callable[..., Any], photos: list[Image.Image]) -> Float32:
    model = encoder("pocket")
    pixels = np.stack([model.preprocess(photo) for photo in photos])
    pooled: Float32 = model.encode_images(pixels).pooled
    return pooled


def test_it_names_nine_of_eleven_photographs_among_nineteen_labels(
    encoder: Callable[..., Any], features: Float32
) -> None:
    labels = [*PHOTOS.values(), *OTHERS]
    named = probabilities(encoder("pocket"), features, labels).argmax(axis=1)
    right = [labels[row] == wanted for row, wanted in zip(named, PHOTOS.values(), strict=True)]
    assert sum(right) >= 9, list(zip(PHOTOS, (labels[row] for row in named), strict=True))


def test_it_is_sure_of_a_cat(encoder: Callable[..., Any], features: Float32) -> None:
    assert probabilities(encoder("pocket"), features, ["cat", "dog", "bus"])[0, 0] > 0.95


def test_its_features_are_those_of_the_models_own_preprocessing(
    encoder: Callable[..., Any], photos: list[Image.Image], features: Float32
) -> None:
    from timm.data.transforms_factory import create_transform

    own = create_transform(
        (3, 224, 224), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic", crop_pct=0.875
    )
    theirs = encoder("pocket").encode_images(np.stack([own(photo).numpy() for photo in photos]))
    assert (theirs.pooled * features).sum(axis=1).min() > 0.9999


def test_its_preprocessing_agrees_with_timms_configuration_of_the_model() -> None:
    import timm

    own = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    assert own is not None
    assert (own.mean, own.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (own.input_size, own.crop_pct, own.interpolation) == ((3, 224, 224), 0.875, "bicubic")


def test_lower_precision_gives_nearly_the_same_features(
    encoder: Callable[..., Any], photos: list[Image.Image], features: Float32
) -> None:
    model = encoder("pocket", precision="bf16")
    lower = model.encode_images(np.stack([model.preprocess(photo) for photo in photos])).pooled
    assert (lower * features).sum(axis=1).min() > 0.98
    assert not np.array_equal(lower, features)


def test_every_class_has_a_name_of_its_own() -> None:
    names = pocket.class_names()
    assert len(names) == 1000
    assert names[0] == "tench, Tinca tinca"
    assert len(set(names)) > 995  # WordNet has two cranes


def test_it_has_no_other_weights(make_spec: Callable[..., ModelSpec], runtime: Runtime) -> None:
    with pytest.raises(RecipeError, match="there is one pocket encoder only"):
        resolve(make_spec("pocket", weights="large"), runtime)


def test_a_missing_package_names_the_pip_command(
    make_spec: Callable[..., ModelSpec], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pocket, "_PACKAGES", ("no-such-package",))
    with pytest.raises(LibraryMissing, match=r"not installed\. .* `pip install no-such-package`"):
        resolve(make_spec("pocket"), runtime)
