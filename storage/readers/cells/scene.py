"""Scenes of a blood smear, drawn by seed: which cells lie where, and the picture of them.

What is where is known before anything is painted, so ground truth costs a fraction of a picture.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.readers.cells.draws import Draws, Floats
from storage.readers.cells.kinds import KINDS, PLATELET, RED, WHITE, Patch

VERSION = 1
"""Raised by hand when a scene of the same seed becomes another."""
RED_RADIUS = 0.058
"""Of a common red cell, as a share of the picture's side."""
MAX_BLUR_PX = 2.0
_OVERLAP_SHARE = 0.12
_GEOMETRY, _STAIN, _CAMERA = range(3)  # streams of random numbers, one for each purpose


class Cell(NamedTuple):
    """A cell as an outline: an ellipse that strays a little, in pixels."""

    class_id: int
    x_px: float
    y_px: float
    radius_px: float
    turn: tuple[float, float]
    """The direction of its long axis."""
    stretch: float
    """Long axis by short axis."""
    waves: tuple[float, float]
    """How far two and three bulges around it go, as shares of the radius."""
    number: int
    """Names its stream of random numbers, whatever the order of painting."""


@dataclass(frozen=True)
class Scene:
    """What is in a scene: pixel by pixel, the cell that is seen there."""

    cells: tuple[Cell, ...]
    """From the undermost to the uppermost."""
    seen: NDArray[np.int16]
    """(height, width) 0 for the background, k + 1 for `cells[k]`: nothing belongs to two."""
    overlapped: tuple[bool, ...]
    """Whether the outline of a cell shares pixels with that of another."""


def scene(seed: int, number: int, size_px: int) -> Scene:
    """Return what is in scene `number` of `seed`, without painting it."""
    return _seen(_layout(seed, number, size_px), size_px)


def picture(seed: int, number: int, size_px: int) -> NDArray[np.uint8]:
    """Return the picture, uint8 (size_px, size_px, 3), of scene `number` of `seed`."""
    light = np.ones((size_px, size_px, 3), np.float32)
    for cell in _layout(seed, number, size_px):
        rows, columns, patch = _patch(cell, size_px)
        draws = Draws(seed, number, _STAIN, cell.number)
        stain = KINDS[cell.class_id].paint(patch, draws)
        below = light[rows, columns]
        below += (stain - below) * patch.cover(1 - patch.level)[:, :, None]
    return _photographed(light, Draws(seed, number, _CAMERA))


def _layout(seed: int, number: int, size_px: int) -> list[Cell]:
    """Return the cells of a scene from the undermost to the uppermost.

    Some are laid against a cell that lies alone, the others where there is room: so pairs overlap,
    but no cell is hidden by half.
    """
    draws = Draws(seed, number, _GEOMETRY)
    placed: list[Cell] = []
    alone: list[Cell] = []
    for at, class_id in enumerate(_class_ids(draws)):
        partner = alone[draws.below(len(alone))] if alone and draws.chance(_OVERLAP_SHARE) else None
        cell = _place(_new_cell(draws, class_id, at, size_px), partner, placed, draws, size_px)
        if cell is None:
            continue  # there is no room left
        # A much larger cell would hide the one below it.
        is_below = partner and cell.radius_px > 1.4 * partner.radius_px
        placed.insert(placed.index(partner) if partner and is_below else len(placed), cell)
        if partner:
            alone.remove(partner)
        else:
            alone.append(cell)
    return placed


def _class_ids(draws: Draws) -> list[int]:
    """Return the classes of the cells of one field, large ones first: they need room.

    Six fields of ten are a common smear, four the edge of a smear, where white cells gather, often
    of one kind. One field of fifty holds nothing but plasma.
    """
    if draws.chance(0.02):
        return []
    is_edge = draws.chance(0.4)
    whites = draws.between(5, 8) if is_edge else draws.between(1, 4)
    reds = draws.between(2, 6) if is_edge else draws.between(7, 15)
    main = WHITE[draws.below(len(WHITE))] if draws.chance(0.6) else None
    kinds = [
        main if main and draws.chance(0.7) else WHITE[draws.below(len(WHITE))]
        for _ in range(whites)
    ]
    platelets = draws.between(1, 5)
    return [*kinds, *[RED] * reds, *[PLATELET] * platelets]


def _new_cell(draws: Draws, class_id: int, number: int, size_px: int) -> Cell:
    kind = KINDS[class_id]
    radius_px = draws.uniform(*kind.radii) * RED_RADIUS * size_px
    waves = tuple(draws.uniform(-kind.wobble, kind.wobble) for _ in range(2))
    stretch = draws.uniform(1.0, 1.16)
    return Cell(class_id, 0, 0, radius_px, draws.direction(), stretch, (waves[0], waves[1]), number)


def _place(
    cell: Cell, partner: Cell | None, placed: list[Cell], draws: Draws, size_px: int
) -> Cell | None:
    """Return `cell` where it touches no cell but `partner`, None where no try finds room."""
    margin_px = 0.4 * cell.radius_px
    for _ in range(40):
        if partner:
            x, y = draws.direction()
            reach_px = (cell.radius_px + partner.radius_px) * draws.uniform(0.68, 0.88)
            x_px, y_px = partner.x_px + x * reach_px, partner.y_px + y * reach_px
        else:
            x_px, y_px = draws.uniform(0, size_px), draws.uniform(0, size_px)
        tried = cell._replace(x_px=x_px, y_px=y_px)
        is_inside = margin_px <= min(x_px, y_px) <= max(x_px, y_px) <= size_px - margin_px
        if is_inside and not any(_touch(tried, other) for other in placed if other is not partner):
            return tried
    return None


def _touch(one: Cell, other: Cell) -> bool:
    away_px = math.sqrt((one.x_px - other.x_px) ** 2 + (one.y_px - other.y_px) ** 2)
    return away_px < 1.09 * (one.radius_px + other.radius_px)


def _patch(cell: Cell, size_px: int) -> tuple[slice, slice, Patch]:
    """Return the rows and columns around a cell, and their pixels in its coordinates."""
    reach_px = 1.25 * cell.radius_px + 2
    rows = slice(max(0, int(cell.y_px - reach_px)), min(size_px, int(cell.y_px + reach_px) + 1))
    columns = slice(max(0, int(cell.x_px - reach_px)), min(size_px, int(cell.x_px + reach_px) + 1))
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5 - cell.y_px))[:, None]
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - cell.x_px))[
        None, :
    ]
    across, down = np.float32(cell.turn[0]), np.float32(cell.turn[1])
    unit = np.float32(1 / cell.radius_px)
    u, v = (x * across + y * down) * unit, (y * across - x * down) * unit
    stretch = np.float32(math.sqrt(cell.stretch))
    a, b = u / stretch, v * stretch
    away = np.sqrt(a * a + b * b) + np.float32(1e-6)
    cos, sin = a / away, b / away
    two, three = (np.float32(wave) for wave in cell.waves)
    bulge = two * (cos * cos - sin * sin) + three * cos * (cos * cos - 3 * sin * sin)
    return rows, columns, Patch(u, v, away / (1 + bulge), cell.radius_px)


def _seen(cells: list[Cell], size_px: int) -> Scene:
    seen = np.zeros((size_px, size_px), np.int16)
    shared: set[int] = set()
    for at, cell in enumerate(cells):
        rows, columns, patch = _patch(cell, size_px)
        inside = patch.level <= 1
        below = np.unique(seen[rows, columns][inside])
        if hit := [int(k) - 1 for k in below if k]:
            shared.update((at, *hit))
        seen[rows, columns][inside] = at + 1
    return Scene(tuple(cells), seen, tuple(at in shared for at in range(len(cells))))


def _photographed(light: Floats, draws: Draws) -> NDArray[np.uint8]:
    """Return the picture that a camera takes through the stained smear: lit unevenly, more or less
    in focus, with noise; `light` is what every pixel lets through."""
    size_px = light.shape[0]
    lamp = np.array(
        [draws.uniform(0.88, 0.97), draws.uniform(0.84, 0.93), draws.uniform(0.84, 0.95)]
    )
    picture = light * (255 * lamp).astype(np.float32)
    picture *= _lamp(size_px, draws)[:, :, None]
    picture = _blurred(picture, draws.uniform(0, MAX_BLUR_PX))
    picture += np.float32(draws.uniform(1, 6)) * draws.noise(*picture.shape)
    return (np.clip(picture, 0, 255) + np.float32(0.5)).astype(np.uint8)


def _lamp(size_px: int, draws: Draws) -> Floats:
    """Return how bright every pixel is lit, up to 1: a slope and a fall towards the rim."""
    at = (np.arange(size_px, dtype=np.float32) + np.float32(0.5)) / np.float32(size_px)
    x0, y0 = draws.uniform(0.2, 0.8), draws.uniform(0.2, 0.8)
    fall, slope_x, slope_y = draws.uniform(0, 0.45), draws.uniform(0, 0.2), draws.uniform(0, 0.2)
    across = np.float32(fall) * (at - np.float32(x0)) ** 2 + np.float32(slope_x) * at
    down = np.float32(fall) * (at - np.float32(y0)) ** 2 + np.float32(slope_y) * at
    return 1 - across[None, :] - down[:, None]


def _blurred(picture: Floats, sigma_px: float) -> Floats:
    """Return `picture` (height, width, 3) out of focus by `sigma_px`, edges mirrored.

    The kernel is (1 - x^2 / 11 sigma^2)^4, whose deviation is sigma: no exponential is rounded
    alike everywhere.
    """
    reach_px = int(math.sqrt(11) * sigma_px)
    squares = [x * x / (11 * sigma_px * sigma_px) for x in range(1, reach_px + 1)]
    sides = [(1 - s) * (1 - s) * (1 - s) * (1 - s) for s in squares]
    if not sides:
        return picture
    total = 1 + 2 * sum(sides)
    weights = [np.float32(side / total) for side in sides]
    for axis in (0, 1):
        pad = [(reach_px, reach_px) if at == axis else (0, 0) for at in range(3)]
        padded = np.moveaxis(np.pad(picture, pad, mode="symmetric"), axis, 0)
        size_px = picture.shape[axis]
        blurred = padded[reach_px : reach_px + size_px] * np.float32(1 / total)
        for at, weight in enumerate(weights, start=1):
            left = padded[reach_px - at : reach_px - at + size_px]
            right = padded[reach_px + at : reach_px + at + size_px]
            blurred += (left + right) * weight
        picture = np.moveaxis(blurred, 0, axis)
    return picture
