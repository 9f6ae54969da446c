"""Sharpness, exposure and noise against a few independent lines of numpy and scikit-image."""

from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
import pywt
from PIL import Image
from scipy import ndimage
from skimage import restoration

from conf.sources.sample_photos import Source
from storage.dataset import open_rows
from storage.readers.pixels import decode
from tasks.compute.quality import technical

estimate_sigma: Any = restoration.estimate_sigma

Grey = np.ndarray[Any, np.dtype[np.uint8]]
PHOTOS = ("scikit-learn/china.jpg", "scikit-image/chelsea.png", "scikit-image/astronaut.png")


@cache
def photo(name: str) -> Grey:
    data = open_rows(Source()).read(name)
    return np.asarray(decode(data, max_megapixels=100))


def blurred(rgb: Grey, radius_px: float) -> Grey:
    return np.asarray(ndimage.gaussian_filter(rgb, (radius_px, radius_px, 0)))


def noisy(shape: tuple[int, int], sigma: float) -> Grey:
    noise = np.random.default_rng(0).normal(0.5, sigma, shape)
    return np.clip(np.rint(noise * 255), 0, 255).astype(np.uint8)


def as_rgb(grey: Grey) -> Grey:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("name", PHOTOS)
def test_sharpness_is_tenengrad_squashed(name: str) -> None:
    grey = technical.preview(photo(name))
    across, down = (ndimage.sobel(grey.astype(float), axis=a, mode="mirror") for a in (1, 0))
    energy = (across**2 + down**2).mean()
    found = technical.sharpness(grey)
    np.testing.assert_allclose(found.score, np.tanh(energy / 2000), rtol=1e-5)
    np.testing.assert_allclose(found.log10_energy, np.log10(energy), rtol=1e-5)


@pytest.mark.parametrize("name", PHOTOS)
def test_exposure_is_what_its_formula_says(name: str) -> None:
    grey = technical.preview(photo(name))
    p1, p50, p99 = np.percentile(grey / 255, (1, 50, 99))
    score = 0.5 * (1 - 2 * abs(p50 - 0.5)) + 0.5 * (p99 - p1)
    score -= 0.25 * (p1 <= 2 / 255) + 0.25 * (p99 >= 253 / 255)
    np.testing.assert_allclose(technical.exposure(grey), np.clip(score, 0, 1), rtol=1e-5)


@pytest.mark.parametrize("name", PHOTOS)
def test_noise_is_what_scikit_image_estimates(name: str) -> None:
    grey = technical.preview(photo(name))
    np.testing.assert_allclose(technical.noise_sigma(grey), estimate_sigma(grey / 255), rtol=1e-5)


@pytest.mark.parametrize("size", [(7, 9), (64, 65), (511, 383)])
def test_noise_agrees_for_odd_sizes_too(size: tuple[int, int]) -> None:
    grey = noisy(size, 0.1)
    np.testing.assert_allclose(technical.noise_sigma(grey), estimate_sigma(grey / 255), rtol=1e-5)


def test_percentiles_are_those_of_numpy() -> None:
    for seed in range(20):
        levels = np.random.default_rng(seed).integers(0, 256, seed * 37 + 1).astype(np.uint8)
        expected = np.percentile(levels / 255, (1, 5, 50, 95, 99))
        np.testing.assert_allclose(
            technical.percentiles(technical.histogram(levels)), expected, atol=1e-12
        )


def test_the_preview_is_at_most_512_px_long_and_never_enlarged() -> None:
    assert technical.preview(photo("scikit-learn/china.jpg")).shape == (342, 512)
    assert technical.preview(photo("scikit-image/chelsea.png")).shape == (300, 451)


def test_the_raw_energy_still_tells_photos_apart_where_the_score_is_at_its_end() -> None:
    sharp = technical.sharpness(technical.preview(photo("scikit-image/astronaut.png")))
    soft = technical.sharpness(technical.preview(blurred(photo("scikit-image/astronaut.png"), 1)))
    assert sharp.score > 0.999
    assert soft.score > 0.99
    assert sharp.log10_energy - soft.log10_energy > 0.2


def test_a_sharp_subject_before_a_soft_ground_shows_in_the_tiles() -> None:
    rgb = blurred(photo("scikit-image/astronaut.png"), 8)
    rgb[192:320, 192:320] = photo("scikit-image/astronaut.png")[0:128, 192:320]
    found = technical.sharpness(technical.preview(rgb))
    assert found.log10_tile_p95 > found.log10_energy + 0.5


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.08])
def test_noise_at_full_resolution_is_the_noise_that_is_there(sigma: float) -> None:
    grey = noisy((1024, 1536), sigma)
    shrunk = technical.preview(as_rgb(grey))
    np.testing.assert_allclose(technical.flat_noise_sigma(as_rgb(grey)), sigma, rtol=0.1)
    assert technical.noise_sigma(shrunk) < 0.5 * sigma  # shrinking hid most of it


def test_noise_at_full_resolution_is_the_median_over_the_flattest_quarter() -> None:
    rgb = photo("scikit-image/astronaut.png")
    tiles = [rgb[i : i + 64, j : j + 64] for i in range(0, 512, 64) for j in range(0, 512, 64)]
    small = [
        cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY).reshape(8, 8, 8, 8).mean((1, 3)) for tile in tiles
    ]
    lit = [at for at, one in enumerate(small) if 8 < one.mean() < 247]
    flattest = sorted(lit, key=lambda at: float(small[at].std()))[: len(tiles) // 4]
    high, sigmas = np.asarray(pywt.Wavelet("db2").dec_hi), []
    for at in flattest:
        details = tiles[at] @ (0.299, 0.587, 0.114) / 255
        for axis in (0, 1):
            details = np.apply_along_axis(lambda of: np.convolve(of, high, "valid"), axis, details)
        magnitudes = np.abs(details[::2, ::2])
        sigmas.append(np.median(magnitudes[magnitudes > 1e-9]) / 0.6744897501960817)
    np.testing.assert_allclose(technical.flat_noise_sigma(rgb), np.median(sigmas), rtol=1e-9)


def test_noise_too_small_for_grey_of_8_bits_is_measured_all_the_same() -> None:
    noise = np.random.default_rng(0).normal(128, 0.5, (512, 512, 3))
    rgb = np.rint(noise).astype(np.uint8)
    expected = np.std(rgb @ (0.299, 0.587, 0.114)) / 255
    assert technical.flat_noise_sigma(rgb) == pytest.approx(expected, rel=0.1)


def test_texture_counts_less_as_noise_where_flat_places_are() -> None:
    grey = noisy((512, 512), 0.02)
    grey[:, :256] = np.asarray(Image.fromarray(noisy((32, 16), 0.3)).resize((256, 512)))
    assert technical.flat_noise_sigma(as_rgb(grey)) == pytest.approx(0.02, rel=0.25)


def test_a_border_of_one_colour_changes_nothing_in_the_noise_within_it() -> None:
    grey = noisy((512, 512), 0.02)
    within = technical.flat_noise_sigma(as_rgb(grey))
    for level in (0, 128, 255):
        rgb = as_rgb(np.pad(grey, 256, constant_values=level))  # three quarters of it
        assert technical.flat_noise_sigma(rgb) == pytest.approx(within, rel=1e-12)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_has_no_noise_that_could_be_measured(level: int) -> None:
    grey = np.full((200, 300), level, np.uint8)
    assert np.isnan(technical.noise_sigma(grey))
    assert np.isnan(technical.flat_noise_sigma(as_rgb(grey)))
    assert np.isnan(technical.sharpness(grey).log10_energy)
