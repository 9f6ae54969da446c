"""UMAP by umap-learn, on neighbours that are known already. McInnes, Healy & Melville (2018)."""

import warnings
from typing import Any

import numpy as np

from tasks.compute.projection.embed import Embedding, Scene, possible_neighbours


def embed(scene: Scene, settings: Any) -> Embedding:
    """Return the UMAP map: umap-learn's own for the same seed and neighbours."""
    from umap import UMAP

    wanted, notes = possible_neighbours(settings.neighbours, len(scene.points))
    places, distances = with_themselves(scene, wanted)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "precomputed_knn.*is not an NNDescent", UserWarning)
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        warnings.filterwarnings("ignore", "Spectral initialisation failed", UserWarning)
        warnings.filterwarnings("ignore", "A few of your vertices", UserWarning)
        model = UMAP(
            n_neighbors=wanted,
            min_dist=settings.min_dist,
            random_state=scene.seed,
            n_jobs=1,
            init=_start(scene, settings),
            precomputed_knn=(places, distances),
        )
        drawn = model.fit_transform(scene.points)
    return Embedding(np.asarray(drawn, dtype=np.float32), notes)


def with_themselves(scene: Scene, wanted: int) -> tuple[Any, Any]:
    """Return neighbours as umap-learn counts them: a point is the first of its own."""
    near, far = scene.neighbours.places, scene.neighbours.distances
    own = np.arange(len(near), dtype=near.dtype)[:, None]
    zero = np.zeros((len(near), 1), far.dtype)
    return (
        np.hstack([own, near[:, : wanted - 1]]),
        np.hstack([zero, far[:, : wanted - 1]]),
    )


def _start(scene: Scene, settings: Any) -> Any:
    if scene.start is not None:
        return scene.start.astype(np.float32)
    # Its own spectral start needs more points than the two dimensions and the constant one.
    return settings.start if len(scene.points) > 10 else "random"
