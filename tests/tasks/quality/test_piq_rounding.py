"""Means of patches against torch's convolution of the whole image, which is what piq takes."""

from typing import Any

import numpy as np
import pytest

from tasks.compute.quality.kernels import patches_round
from tasks.compute.quality.natural import window
from tasks.quality.piq_rounding import piq_rounding

Array = np.ndarray[Any, np.dtype[np.float64]]


def levels(height: int, width: int) -> Array:
    """Return noise with two plateaus that touch."""
    image = np.random.default_rng(height).integers(0, 256, (height, width)).astype(np.float64)
    image[3:14, :12], image[3:14, 12:] = 255, 17
    return image


def convolved(image: Array, *, in_planes: bool) -> Array:
    """Return the means of all pixels, in one convolution."""
    import torch

    pixels, kernel = torch.from_numpy(image)[None, None], torch.from_numpy(window())[None, None]
    if not in_planes:
        pixels = torch.from_numpy(image)[None, :, :, None].permute(0, 3, 1, 2)
    means: Array = torch.nn.functional.conv2d(pixels, kernel, padding=3).numpy().reshape(-1)
    return means


@pytest.mark.parametrize("in_planes", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (45, 77), (201, 203)])
def test_the_mean_of_a_patch_is_to_the_last_bit_that_of_the_whole_image(
    size: tuple[int, int], in_planes: bool
) -> None:
    image = levels(*size)
    expected = convolved(image, in_planes=in_planes)
    means = piq_rounding().planar_means if in_planes else piq_rounding().means
    everywhere = np.arange(image.size)
    for places in (everywhere, everywhere[-1:], everywhere[-5:], everywhere[7::13]):
        patches, which = patches_round(image, places)
        found = means(patches)[which]
        np.testing.assert_array_equal(found, expected[places])


def test_the_two_layouts_are_not_added_up_in_one_order() -> None:
    image = levels(45, 77)
    planes, innermost = (convolved(image, in_planes=p) for p in (True, False))
    assert (planes != innermost).any()
    np.testing.assert_allclose(planes, innermost, rtol=1e-13)


def test_the_window_is_that_of_piq_to_the_last_bit() -> None:
    import torch
    from piq.functional import gaussian_filter

    theirs = gaussian_filter(kernel_size=7, sigma=7 / 6, dtype=torch.float64)[0].numpy()
    np.testing.assert_array_equal(window(), theirs)
