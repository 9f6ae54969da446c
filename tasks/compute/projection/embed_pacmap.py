"""PaCMAP by its authors' package. Wang, Huang, Rudin & Shaposhnik (2021)."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from tasks.compute.projection.embed import Embedding, Scene, possible_neighbours, quiet


def embed(scene: Scene, settings: Any) -> Embedding:
    """Return the PaCMAP map; the package finds its own scaled neighbours."""
    from pacmap import PaCMAP

    return fit(PaCMAP, scene, settings)


def fit(model: Any, scene: Scene, settings: Any, **more: Any) -> Embedding:
    """Return the map by a class of the package pacmap."""
    wanted, notes = possible_neighbours(settings.neighbours, len(scene.points))
    start = "pca" if scene.start is None else scene.start.astype(np.float32)
    with quiet("pacmap"):  # it warns of the seed that it was given
        made = model(
            n_neighbors=wanted,
            MN_ratio=settings.mid_near_ratio,
            FP_ratio=settings.further_ratio,
            random_state=scene.seed,
            apply_pca=False,
            **more,
        )
        drawn = made.fit_transform(_flat(scene.points), init=start)
    return Embedding(np.asarray(drawn, dtype=np.float32), notes)


def _flat(points: Float32[np.ndarray, "points dim"]) -> Float32[np.ndarray, "points flat"]:
    """Return points of two dimensions at least: the package takes no line."""
    missing = max(0, 2 - points.shape[1])
    return np.pad(points, ((0, 0), (0, missing))).astype(np.float32)
