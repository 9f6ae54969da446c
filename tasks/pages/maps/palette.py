"""Colours of a map: as different as they can be for classes, even steps for numbers.

Colours are chosen in OKLab (Ottosson, "A perceptual color space for image processing", 2020),
where equal distances look about equal, between a lightness that shows on white and one that shows
on black.
"""

from functools import cache

import numpy as np
from jaxtyping import Float64

_FIRST = ("#3266ad", "#e8772e", "#2f9e5b", "#d1495b", "#8e5bb5", "#17a2b0", "#c99a06", "#d468a8",
          "#8a5a3b", "#86a8e0")  # fmt: skip
_LIGHTNESS = (0.48, 0.57, 0.66, 0.75)
_CHROMA = (0.07, 0.12, 0.17, 0.22)
_HUES = 48
MOST = 40
"""So many classes have a colour of their own; more could not be told apart."""

Oklab = Float64[np.ndarray, "colours 3"]


def class_colours(count: int) -> tuple[str, ...]:
    """Return `count` colours, at most MOST: ten chosen by hand, then each the farthest from all
    before it, as in Glasbey et al., "Colour displays for categorical images" (2007)."""
    return _all_colours()[: min(count, MOST)]


@cache
def _all_colours() -> tuple[str, ...]:
    candidates, chosen = _candidates(), list(_FIRST)
    grid = from_hex(candidates)
    distance = _nearest(grid, from_hex(chosen))
    while len(chosen) < MOST:
        best = int(distance.argmax())
        chosen.append(candidates[best])
        distance = np.minimum(distance, _nearest(grid, grid[best : best + 1]))
    return tuple(chosen)


def _candidates() -> list[str]:
    hues = np.linspace(0, 2 * np.pi, _HUES, endpoint=False)
    axes = np.meshgrid(_LIGHTNESS, _CHROMA, hues, indexing="ij")
    light, chroma, hue = (axis.ravel() for axis in axes)
    linear = _linear(np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1))
    shown = ((linear >= 0) & (linear <= 1)).all(axis=1)
    return [_hex(one) for one in linear[shown]]


def _nearest(grid: Oklab, chosen: Oklab) -> Float64[np.ndarray, " colours"]:
    gaps = grid[:, None, :] - chosen[None, :, :]
    nearest: Float64[np.ndarray, " colours"] = np.sqrt((gaps**2).sum(axis=2)).min(axis=1)
    return nearest


@cache
def ramp(name: str) -> tuple[str, ...]:
    """Return 33 colours from the lowest to the highest number of `score` or of `trust`.

    In a trust ramp what is low stands out, and what is high stays quiet.
    """
    ends = {
        "score": ((0.40, 0.13, 285.0), (0.60, 0.12, 195.0), (0.84, 0.16, 95.0)),
        "trust": ((0.58, 0.21, 28.0), (0.72, 0.13, 60.0), (0.72, 0.04, 240.0)),
    }[name]
    light, chroma, hue = np.array(ends).T
    angle = np.deg2rad(hue)
    axes = (light, chroma * np.cos(angle), chroma * np.sin(angle))
    steps = np.linspace(0, 2, 33)
    lab = np.stack([np.interp(steps, (0, 1, 2), axis) for axis in axes], axis=1)
    return tuple(_hex(one) for one in np.clip(_linear(lab), 0, 1))


def _linear(lab: Oklab) -> Float64[np.ndarray, "colours 3"]:
    to_cones = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    return np.asarray((lab @ to_cones.T) ** 3 @ _CONES_TO_RGB.T)


_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def from_hex(colours: list[str]) -> Oklab:
    """Return colours such as #3266ad in OKLab."""
    bytes_ = np.array([[int(one[at : at + 2], 16) for at in (1, 3, 5)] for one in colours]) / 255
    linear = np.where(bytes_ <= 0.04045, bytes_ / 12.92, ((bytes_ + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ np.linalg.inv(_CONES_TO_RGB).T)
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(cones @ to_lab.T)


def _hex(linear: Float64[np.ndarray, "3"]) -> str:
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(one)):02x}" for one in encoded)
