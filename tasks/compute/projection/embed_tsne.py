"""t-SNE by openTSNE, on neighbours that are known already.

van der Maaten & Hinton (2008); interpolated repulsion of Linderman et al. (2019); Poličar, Stražar
& Zupan, "openTSNE: A Modular Python Library for t-SNE Dimensionality Reduction" (2024).
"""

from typing import Any

import numpy as np

from tasks.compute.projection.embed import Embedding, Scene, components_map, jittered

_FFT_FROM = 5000
"""Points from which interpolation is faster than the tree of Barnes and Hut."""
_START_SPREAD = 1e-4


def embed(scene: Scene, settings: Any) -> Embedding:
    """Return the t-SNE map. The seed decides a noise of 1 % on the start, the first components.

    A refit begins where the old map is, at its full size and without early exaggeration.
    """
    from openTSNE import TSNEEmbedding

    affinities, notes = affinities_of(scene, settings)
    start = scene.start
    if start is None:
        begin = jittered(components_map(scene.points), _START_SPREAD, scene.seed)
    else:
        begin = start.astype(np.float64)
    method = "fft" if len(scene.points) >= _FFT_FROM else "bh"
    drawn = TSNEEmbedding(
        begin,
        affinities=affinities,
        negative_gradient_method=method,
        random_state=scene.seed,
        n_jobs=scene.threads,
        learning_rate="auto",
    )
    if start is None:
        drawn.optimize(
            settings.early_iterations, exaggeration=settings.early_exaggeration, momentum=0.5,
            inplace=True, propagate_exception=True,
        )  # fmt: skip
    drawn.optimize(settings.iterations, momentum=0.8, inplace=True, propagate_exception=True)
    return Embedding(np.asarray(drawn, dtype=np.float32), notes)


def affinities_of(scene: Scene, settings: Any) -> tuple[Any, tuple[str, ...]]:
    """Return openTSNE's affinities by the neighbours of `scene`, and what was changed for them."""
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    wanted, known = settings.perplexity, scene.neighbours.places.shape[1]
    possible = min(wanted, known / 3)
    notes = (
        (f"perplexity {possible:.3g} instead of {wanted:.3g}: a third of the neighbours there are",)
        if possible < wanted
        else ()
    )
    index = PrecomputedNeighbors(
        neighbors=scene.neighbours.places.astype(np.int64),
        distances=scene.neighbours.distances.astype(np.float64),
    )
    affinities = PerplexityBasedNN(
        knn_index=index, perplexity=possible, n_jobs=scene.threads, random_state=scene.seed
    )
    return affinities, notes
