"""What rounding leaves in piq's sums on this machine, to the last bit: torch itself adds them."""

from functools import cache, partial
from typing import Any

import numpy as np

from tasks.compute.quality.natural import Rounding, window

_LEAST_PATCHES = 16
"""Of fewer rows than a processor takes at once, libraries may make another product."""
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""Of RGB, as piq has it; the first row is luma."""

Array = np.ndarray[Any, np.dtype[Any]]


@cache
def piq_rounding() -> Rounding:
    """Return how piq rounds, given RGB tensors of float64 in planes, as `to_tensor` makes them."""
    return Rounding(_lumas(), partial(_means, in_planes=False), partial(_means, in_planes=True))


def _lumas() -> Array:
    """Return, (256, 256) for a level of red and one of green, luma with the one level of blue with
    which it ends in one half; 0 where there is none."""
    import torch

    blue_of = np.full(1000, -1)
    blue_of[114 * np.arange(256) % 1000] = np.arange(256)
    levels = np.arange(256)
    blue = blue_of[(500 - 299 * levels[:, None] - 587 * levels) % 1000]
    red, green = np.nonzero(blue >= 0)
    colours = np.stack([red, green, blue[red, green]])
    pixels = torch.from_numpy(colours[None, :, None] / 255 * 255)
    yiq = torch.matmul(pixels.permute(0, 2, 3, 1), torch.tensor(_YIQ, dtype=pixels.dtype).t())
    lumas = np.zeros((256, 256), np.uint8)
    lumas[red, green] = torch.round(yiq[0, 0, :, 0]).numpy()
    return lumas


def _means(patches: Array, *, in_planes: bool) -> Array:
    """Return the mean (n,) of each of the `patches` (n, 7, 7).

    The patches become one image, one below the other, that the window crosses in strides of its own
    size: so torch multiplies the matrix that it makes of any image, a row a pixel. By which
    routine depends on whether the channels of the image are innermost, and the order in which that
    one adds on the processor.
    """
    import torch
    from torch.nn.functional import conv2d

    count, side = len(patches), patches.shape[-1]
    if count < _LEAST_PATCHES:
        patches = np.resize(patches, (_LEAST_PATCHES, side, side))
    image = torch.from_numpy(patches.reshape(-1, side))
    whole = image[None, None] if in_planes else image[None, :, :, None].permute(0, 3, 1, 2)
    kernel = torch.from_numpy(window())[None, None]
    means: Array = conv2d(whole, kernel, stride=side).numpy().reshape(-1)
    return means[:count]
