"""The kinds of blood cells: how large they are, how they are shaped, what stains how.

Sizes are those of a Giemsa-stained smear (red cells 7.5 micrometres, platelets 2 to 3, white cells
8 to 16), as shares of a red cell's radius. Colours are transmissions of red, green and blue
light.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from storage.readers.cells.draws import Draws, Floats

Colour = tuple[float, float, float]


class Patch(NamedTuple):
    """The pixels around a cell, in the cell's own coordinates: its radius is 1."""

    u: Floats
    v: Floats
    level: Floats
    """0 in the middle, 1 on the outline."""
    radius_px: float

    def cover(self, inside: Floats) -> Floats:
        """Return the share of each pixel that lies where `inside`, a distance, is positive."""
        cover: Floats = inside * np.float32(self.radius_px) + np.float32(0.5)
        return cover.clip(0, 1)


@dataclass(frozen=True)
class Kind:
    """A kind of cell, and a class of the annotations."""

    name: str
    superclass: str
    radii: tuple[float, float]
    """From and to, in radii of a common red cell."""
    wobble: float
    """How far the outline strays from an ellipse, as a share of the radius."""
    paint: Callable[[Patch, Draws], Floats]
    """Returns the colour of every pixel of a patch, float32 (height, width, 3)."""


def _blank(patch: Patch, colour: Colour, draws: Draws, grain: float = 0.03) -> Floats:
    """Return an even colour with a grain, a little different in every cell."""
    tone = np.array([share + draws.uniform(-0.025, 0.025) for share in colour], np.float32)
    texture = 1 + np.float32(grain) * draws.noise(*patch.u.shape)
    return texture[:, :, None] * tone


def _over(below: Floats, colour: Colour, cover: Floats, draws: Draws, grain: float = 0.08) -> None:
    """Paint `colour` over `below`, in place, where `cover` is 1."""
    texture = 1 + np.float32(grain) * draws.noise(*cover.shape)
    above = texture[:, :, None] * np.array(colour, np.float32)
    below += (above - below) * cover[:, :, None]


def _discs(patch: Patch, discs: list[tuple[float, float, float]]) -> Floats:
    """Return how deep every pixel lies in the union of discs (u, v, radius), negative outside."""
    deepest = np.full(patch.u.shape, -9, np.float32)
    for u, v, radius in discs:
        away = np.sqrt((patch.u - np.float32(u)) ** 2 + (patch.v - np.float32(v)) ** 2)
        np.maximum(deepest, np.float32(radius) - away, out=deepest)
    return deepest


def _granules(draws: Draws, count: int, radius: float) -> list[tuple[float, float, float]]:
    """Return about `count` small discs strewn over the cell."""
    places = draws.uniforms(3 * count).reshape(count, 3).tolist()
    spread = [(1.9 * a - 0.95, 1.9 * b - 0.95, radius * (0.75 + 0.5 * c)) for a, b, c in places]
    return [(u, v, r) for u, v, r in spread if u * u + v * v < 0.8]


def _lobes(
    draws: Draws, count: int, radius: float, ring: float
) -> list[tuple[float, float, float]]:
    """Return lobes on three quarters of a ring, each joined to the next by a thin bridge."""
    corners = [(1.0, 0.0), (0.5, 0.87), (-0.5, 0.87), (-1.0, 0.0), (-0.5, -0.87)]
    at = [
        (x * ring + draws.uniform(-0.07, 0.07), y * ring + draws.uniform(-0.07, 0.07))
        for x, y in ([corners[0], corners[3]] if count == 2 else corners[:count])
    ]
    discs = [(x, y, radius * draws.uniform(0.85, 1.15)) for x, y in at]
    for (x0, y0), (x1, y1) in pairwise(at):
        discs += [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t, 0.09) for t in (0.3, 0.4, 0.5, 0.6, 0.7)]
    return discs


_NUCLEUS: Colour = (0.37, 0.20, 0.52)


def _red(patch: Patch, draws: Draws) -> Floats:
    """Return a biconcave disc: thick as a ring, pale where it is thin in the middle."""
    colour = _blank(patch, (0.90, 0.55, 0.54), draws, 0.015)
    squared = patch.level * patch.level
    pallor = np.clip(1 - squared / np.float32(draws.uniform(0.22, 0.45)), 0, 1)
    pale = np.float32(draws.uniform(0.5, 0.85)) * pallor
    colour += (1 - colour) * pale[:, :, None]
    return colour


def _platelet(patch: Patch, draws: Draws) -> Floats:
    colour = _blank(patch, (0.70, 0.56, 0.80), draws, 0.06)
    _over(colour, (0.50, 0.32, 0.66), patch.cover(_discs(patch, _granules(draws, 7, 0.2))), draws)
    return colour


def _neutrophil(patch: Patch, draws: Draws) -> Floats:
    colour = _blank(patch, (0.90, 0.80, 0.84), draws, 0.05)
    fine = patch.cover(_discs(patch, _granules(draws, 26, 0.045)))
    _over(colour, (0.80, 0.64, 0.76), fine, draws)
    lobes = _lobes(draws, draws.between(3, 5), 0.29, 0.46)
    _over(colour, _NUCLEUS, patch.cover(_discs(patch, lobes)), draws)
    return colour


def _eosinophil(patch: Patch, draws: Draws) -> Floats:
    colour = _blank(patch, (0.93, 0.70, 0.64), draws, 0.05)
    coarse = patch.cover(_discs(patch, _granules(draws, 60, 0.085)))
    _over(colour, (0.88, 0.36, 0.27), coarse, draws)
    lobes = _lobes(draws, 2, 0.38, 0.40)
    _over(colour, (0.40, 0.22, 0.52), patch.cover(_discs(patch, lobes)), draws)
    return colour


def _basophil(patch: Patch, draws: Draws) -> Floats:
    colour = _blank(patch, (0.74, 0.63, 0.82), draws, 0.05)
    lobes = _lobes(draws, 3, 0.38, 0.30)
    _over(colour, (0.52, 0.38, 0.68), patch.cover(_discs(patch, lobes)), draws)
    dark = patch.cover(_discs(patch, _granules(draws, 42, 0.115)))
    _over(colour, (0.20, 0.10, 0.36), dark, draws)
    return colour


def _lymphocyte(patch: Patch, draws: Draws) -> Floats:
    colour = _blank(patch, (0.62, 0.73, 0.90), draws, 0.04)
    middle = draws.uniform(-0.1, 0.1), draws.uniform(-0.1, 0.1)
    nucleus = [(*middle, draws.uniform(0.76, 0.86))]
    _over(colour, (0.34, 0.20, 0.50), patch.cover(_discs(patch, nucleus)), draws, 0.1)
    return colour


def _monocyte(patch: Patch, draws: Draws) -> Floats:
    """Return a large cell with a kidney for a nucleus and holes (vacuoles) in grey cytoplasm."""
    colour = _blank(patch, (0.70, 0.72, 0.82), draws, 0.06)
    holes = patch.cover(_discs(patch, _granules(draws, 7, 0.06)))
    _over(colour, (0.90, 0.91, 0.94), holes, draws)
    kidney = _discs(patch, [(-0.08, 0.0, draws.uniform(0.60, 0.68))])
    bite = _discs(patch, [(draws.uniform(0.42, 0.52), 0.0, draws.uniform(0.34, 0.42))])
    _over(colour, (0.48, 0.34, 0.62), patch.cover(np.minimum(kidney, -bite)), draws, 0.12)
    return colour


KINDS = (
    Kind("red cell", "red cell", (0.88, 1.12), 0.03, _red),
    Kind("platelet", "platelet", (0.30, 0.44), 0.10, _platelet),
    Kind("neutrophil", "white cell", (1.40, 1.65), 0.05, _neutrophil),
    Kind("eosinophil", "white cell", (1.45, 1.70), 0.05, _eosinophil),
    Kind("basophil", "white cell", (1.25, 1.45), 0.05, _basophil),
    Kind("lymphocyte", "white cell", (1.05, 1.30), 0.04, _lymphocyte),
    Kind("monocyte", "white cell", (1.65, 1.95), 0.08, _monocyte),
)
"""The classes, in the order of their ids."""
RED, PLATELET = 0, 1
WHITE = tuple(range(2, len(KINDS)))
