"""BRISQUE against piq in float64 with the same weights, and against what is published of it."""

import sys
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from conf.sources.sample_photos import Source
from storage.dataset import open_rows
from storage.readers.pixels import decode
from tasks.compute.quality.brisque import Regression, brisque_quality, brisque_scores
from tasks.compute.quality.natural import half_size, natural_features
from tasks.quality.weights import SVM770, _load_svm770

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
PHOTOS = tuple(entry.uri for entry in open_rows(Source()).entries())


@cache
def photo(name: str, sensor_noise: float = 0.0) -> Pixels:
    """Return a crop of a photo; with noise, no pixel equals the mean of those around it."""
    image = decode(open_rows(Source()).read(name), max_megapixels=100)
    pixels = np.asarray(image)[:200, :301].astype(float)
    noise = np.random.default_rng(len(name)).normal(0, sensor_noise, pixels.shape)
    return np.clip(np.rint(pixels + noise), 3 if sensor_noise else 0, 255).astype(np.uint8)


@cache
def svm770() -> Regression:
    return _load_svm770(SVM770)


@cache
def as_piq_has_it() -> Regression:
    """Return the shipped vectors in piq's place: its ranges, its gamma, its rho."""
    return Regression.of_piq(svm770().coefficients, svm770().vectors)


@pytest.fixture(scope="module")
def piq_score() -> Iterator[Any]:
    """Return piq's BRISQUE in float64 on the shipped vectors; nothing is downloaded.

    With `planar`, its luma lies in memory as it would of a grey image, not one value in three:
    for the second layout matrix libraries sum the same products in another order.
    """
    import piq
    import torch

    module = sys.modules["piq.brisque"]
    to_yiq = piq.functional.rgb2yiq

    def planes(x: Any) -> Any:
        return to_yiq(x).contiguous()

    def weights(*_: Any, **__: Any) -> tuple[Any, Any]:
        model = svm770()
        return torch.from_numpy(model.coefficients)[:, None], torch.from_numpy(model.vectors.copy())

    def score(rgb: Pixels, *, planar: bool) -> float:
        pixels = torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float64) / 255)
        with patch.object(module, "rgb2yiq", planes if planar else to_yiq):
            return float(piq.brisque(pixels, data_range=1.0, reduction="none"))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on images this small, handing work to threads is what takes longest
    with patch.object(module, "load_url", weights):
        yield score
    torch.set_num_threads(threads)


def score(rgb: Pixels, model: Regression | None = None) -> float:
    features = natural_features(rgb)
    assert features is not None
    return float(brisque_scores(features[None], model or svm770())[0])


def clipped(name: str) -> Pixels:
    """Return a photo that is lit so much that its lights are plateaus."""
    brighter = photo(name).astype(np.int64) * 3 // 2 + 20
    return np.asarray(np.clip(brighter, 0, 255), dtype=np.uint8)


@pytest.mark.parametrize("kind", [photo, clipped])
def test_every_photo_scores_as_piq_scores_it_also_where_plateaus_leave_signs_to_rounding(
    piq_score: Any, kind: Any
) -> None:
    ours = np.array([score(kind(name), as_piq_has_it()) for name in PHOTOS])
    theirs = np.array([piq_score(kind(name), planar=True) for name in PHOTOS])
    differences = np.abs(ours / theirs - 1)
    assert differences.max() < 1e-5
    assert np.median(differences) < 1e-7


def test_without_plateaus_the_layout_of_its_memory_does_not_sway_piq(piq_score: Any) -> None:
    names = [name for name in PHOTOS if photo(name, 1.5).max() < 250]
    ours = np.array([score(photo(name, 1.5), as_piq_has_it()) for name in names])
    theirs = np.array([piq_score(photo(name, 1.5), planar=False) for name in names])
    assert len(names) >= 2
    assert np.abs(ours / theirs - 1).max() < 1e-5


def test_with_plateaus_piq_disagrees_with_itself_in_another_layout_of_memory(
    piq_score: Any,
) -> None:
    rgb = clipped("scikit-learn/china.jpg")
    assert abs(piq_score(rgb, planar=False) - piq_score(rgb, planar=True)) > 1


@pytest.mark.parametrize("size", [(64, 64), (301, 200), (45, 77)])
def test_half_the_size_is_what_piq_makes_of_it(size: tuple[int, int]) -> None:
    import torch
    from piq.functional import imresize

    luma = np.random.default_rng(1).integers(0, 256, size).astype(np.float64)
    new = (size[0] // 2, size[1] // 2)
    theirs = imresize(torch.from_numpy(luma)[None, None], sizes=new)[0, 0].numpy()
    np.testing.assert_array_equal(half_size(luma), theirs)
    assert half_size(luma).shape == new


def distorted(rgb: Pixels) -> dict[str, Pixels]:
    out = BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=5)
    noise = np.random.default_rng(0).normal(0, 40, rgb.shape)
    return {
        "blur": ndimage.gaussian_filter(rgb, (2, 2, 0)),
        "jpeg": np.asarray(Image.open(out)),
        "noise": np.clip(rgb + noise, 0, 255).astype(np.uint8),
    }


@pytest.mark.parametrize("name", ["scikit-image/astronaut.png", "scikit-image/coffee.png"])
def test_blur_noise_and_strong_compression_raise_the_score(name: str) -> None:
    original = score(photo(name))
    assert original < 30
    for bad in distorted(photo(name)).values():
        assert score(bad) > original + 15


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_has_no_natural_features(level: int) -> None:
    assert natural_features(np.full((64, 64, 3), level, np.uint8)) is None


def test_what_has_no_features_has_no_score() -> None:
    known = natural_features(photo(PHOTOS[0]))
    assert known is not None
    found = brisque_scores(np.stack([known, np.full(36, np.nan)]), svm770())
    assert np.isfinite(found).tolist() == [True, False]


def test_quality_is_best_at_0_and_worst_at_100_and_beyond() -> None:
    scores = np.array([-5.0, 0.0, 40.0, 100.0, 130.0])
    assert brisque_quality(scores).tolist() == [1.0, 1.0, 0.6, 0.0, 0.0]


def test_the_shipped_weights_are_the_770_vectors_that_their_note_names() -> None:
    model = svm770()
    assert model.vectors.shape == (770, 36)
    assert (model.gamma, model.rho) == (0.05, -155.845)
    assert "770" in (SVM770.parent / "README.md").read_text()
