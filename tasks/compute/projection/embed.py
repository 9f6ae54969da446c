"""Coordinates of points on a map: one function a method, and what holds for all of them."""

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from tasks.compute.projection.graph import Neighbours

Coords = Float32[np.ndarray, "points 2"]

LEAST_ROWS = 5
"""Below, a map of components stands in for every other method."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What a method draws a map of."""

    points: Float32[np.ndarray, "points dim"]
    """Scores along principal components, the first varies most."""
    neighbours: Neighbours
    """Of the points; as many as the method asked for, or as there are."""
    seed: int
    start: Coords | None = None
    """Where to begin: an older map, that a refit shall not leave. None: the method's own."""
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Embedding:
    """A finished map, and what its reader must know of it."""

    coords: Coords
    notes: tuple[str, ...] = ()


Embed = Callable[[Scene, Any], Embedding]


def embed(method: str, scene: Scene, settings: Any) -> Embedding:
    """Return the map of `scene` by `method`, the name of a module `embed_<method>` here.

    Of fewer than 5 points, or of points that all lie in one place, it is the map of the first two
    components, whatever the method; a note says so.
    """
    count = len(scene.points)
    distinct = len(np.unique(scene.points[: 4 * LEAST_ROWS], axis=0)) if count else 0
    if count > 4 * LEAST_ROWS and distinct < 3:
        distinct = len(np.unique(scene.points, axis=0))
    if method != "pca" and (count < LEAST_ROWS or distinct < 3):
        what, many = ("rows", count) if count < LEAST_ROWS else ("different vectors", distinct)
        note = f"too few {what} for {method} ({many}): this is the map of the first two components"
        return Embedding(components_map(scene.points), (note,))
    if method == "pca":
        return Embedding(components_map(scene.points))
    made: Embedding = importlib.import_module(f"{__package__}.embed_{method}").embed(
        scene, settings
    )
    return made


def components_map(points: Float32[np.ndarray, "points dim"]) -> Coords:
    """Return the first two components, the second 0 where there is but one."""
    flat = np.zeros((len(points), 2), np.float32)
    taken = min(2, points.shape[1])
    flat[:, :taken] = points[:, :taken]
    return flat


def neighbours_wanted(method: str, settings: Any) -> int:
    """Return how many neighbours of each point a method needs."""
    if method == "tsne":
        return int(3 * settings.perplexity)
    return settings.neighbours - 1 if method == "umap" else 0


def possible_neighbours(wanted: int, points: int) -> tuple[int, tuple[str, ...]]:
    """Return as many neighbours as there are, `wanted` at most, and a note where they are fewer."""
    found = min(wanted, points - 1)
    return found, (
        (f"{found} neighbours instead of {wanted}: there are no more",) if found < wanted else ()
    )


def jittered(coords: Coords, spread: float, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return `coords` in float64, scaled to `spread` along the first axis, with 1 % of noise, so
    that no two points coincide."""
    placed = coords.astype(np.float64)
    placed -= placed.mean(axis=0)
    size = placed[:, 0].std() or placed[:, 1].std() or 1.0
    placed *= spread / size
    return placed + np.random.default_rng(seed).normal(0, 0.01 * spread, placed.shape)


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Let only errors of a library's log through."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
