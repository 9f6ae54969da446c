"""BRISQUE against piq in float64 with the same weights, and against what is published of it."""

import sys
from collections.abc import Iterator
from dataclasses import replace
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
from tasks.compute.quality.kernels import luma_of
from tasks.compute.quality.natural import half_size, natural_features
from tasks.quality.piq_rounding import piq_rounding
from tasks.quality.weights import SVM770, _load_svm770

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
PHOTOS = tuple(entry.uri for entry in open_rows(Source()).entries())


@cache
def photo(name: str) -> Pixels:
    """Return a crop of a photo, of odd sides."""
    image = decode(open_rows(Source()).read(name), max_megapixels=100)
    return np.asarray(image)[:200, :301]


@cache
def svm770() -> Regression:
    return _load_svm770(SVM770)


@cache
def as_piq_has_it() -> Regression:
    """Return the shipped vectors in piq's place: its ranges, its gamma, its rho."""
    return Regression.of_piq(svm770().coefficients, svm770().vectors)


@pytest.fixture(scope="module")
def piq_score() -> Iterator[Any]:
    """Return piq's BRISQUE of an RGB tensor in float64, on the shipped vectors; nothing is
    downloaded."""
    import piq
    import torch

    def weights(*_: Any, **__: Any) -> tuple[Any, Any]:
        model = svm770()
        return torch.from_numpy(model.coefficients)[:, None], torch.from_numpy(model.vectors.copy())

    def score(rgb: Pixels) -> float:
        pixels = torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float64) / 255)
        pixels = pixels.contiguous()  # in planes, as torchvision's to_tensor makes them
        return float(piq.brisque(pixels, data_range=1.0, reduction="none"))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on images this small, handing work to threads is what takes longest
    with patch.object(sys.modules["piq.brisque"], "load_url", weights):
        yield score
    torch.set_num_threads(threads)


def score(rgb: Pixels, model: Regression | None = None) -> float:
    features = natural_features(rgb, piq_rounding())
    assert features is not None
    return float(brisque_scores(features[None], model or svm770())[0])


def clipped(name: str) -> Pixels:
    """Return a photo whose lights and shadows are plateaus."""
    stretched = (photo(name).astype(np.int64) - 100) * 2 + 100
    return np.asarray(np.clip(stretched, 0, 255), dtype=np.uint8)


def in_blocks(name: str) -> Pixels:
    return jpeg(photo(name), quality=5)


def grey(name: str) -> Pixels:
    return np.asarray(Image.fromarray(jpeg(photo(name), quality=30)).convert("L").convert("RGB"))


def small(name: str) -> Pixels:
    return jpeg(photo(name)[-47:, -33:], quality=30)


@pytest.mark.parametrize("kind", [photo, clipped, in_blocks, grey, small])
def test_every_photo_scores_as_piq_scores_it_also_where_plateaus_leave_signs_to_rounding(
    piq_score: Any, kind: Any
) -> None:
    ours = np.array([score(kind(name), as_piq_has_it()) for name in PHOTOS])
    theirs = np.array([piq_score(kind(name)) for name in PHOTOS])
    differences = np.abs(ours / theirs - 1)
    assert differences.max() < 1e-5
    assert np.median(differences) < 1e-7


def test_where_no_pixel_equals_the_mean_round_it_nothing_is_added_up_once_more() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 65, 3)).astype(np.uint8)
    asked: list[int] = []

    def means(patches: Any) -> Any:
        asked.append(len(patches))
        return piq_rounding().means(patches)

    rounding = replace(piq_rounding(), means=means, planar_means=means)
    natural_features(noise, rounding)
    assert asked == []
    natural_features(clipped(PHOTOS[0]), rounding)
    assert len(asked) == 2


def test_luma_is_that_of_piq_also_where_it_ends_in_one_half() -> None:
    import torch
    from piq.functional import rgb2yiq

    levels = np.arange(256, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels[::8], indexing="ij"), -1)
    rgb = colours.reshape(1024, 2048, 3)
    pixels = torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float64) / 255).contiguous()
    theirs = torch.round(rgb2yiq(pixels * 255)[0, 0]).numpy()
    np.testing.assert_array_equal(luma_of(rgb, piq_rounding().lumas), theirs)


@pytest.mark.parametrize("size", [(64, 64), (301, 200), (45, 77)])
def test_half_the_size_is_what_piq_makes_of_it(size: tuple[int, int]) -> None:
    import torch
    from piq.functional import imresize

    luma = np.random.default_rng(1).integers(0, 256, size).astype(np.float64)
    new = (size[0] // 2, size[1] // 2)
    theirs = imresize(torch.from_numpy(luma)[None, None], sizes=new)[0, 0].numpy()
    np.testing.assert_array_equal(half_size(luma), theirs)
    assert half_size(luma).shape == new


def jpeg(rgb: Pixels, quality: int) -> Pixels:
    out = BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


def distorted(rgb: Pixels) -> dict[str, Pixels]:
    noise = np.random.default_rng(0).normal(0, 40, rgb.shape)
    return {
        "blur": ndimage.gaussian_filter(rgb, (2, 2, 0)),
        "jpeg": jpeg(rgb, quality=5),
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
    assert natural_features(np.full((64, 64, 3), level, np.uint8), piq_rounding()) is None


def test_what_has_no_features_has_no_score() -> None:
    known = natural_features(photo(PHOTOS[0]), piq_rounding())
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
