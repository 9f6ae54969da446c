"""t-SNE by openTSNE, on neighbours that are known already.

van der Maaten & Hinton (2008); interpolated repulsion of Linderman et al. (2019); Poličar, Stražar
& Zupan, "openTSNE: A Modular Python Library for t-SNE Dimensionality Reduction" (2024).
"""

from typing import Any

import numpy as np

from tasks.compute.projection.embed import Embedding, Scene, components_map, jittered, quiet

_FFT_FROM = 5000
"""Points from which interpolation is faster than the tree of Barnes and Hut."""
_EXAGGERATE_FROM = 100
"""Fewer points have no groups to gather first: exaggeration would draw them all into one place."""
_START_SPREAD = 1e-4


def embed(scene: Scene, settings: Any) -> Embedding:
    """Return the t-SNE map. The seed decides a noise of 1 % on the start, the first components.

    Fewer than 100 points, and a refit, begin at full size and without early exaggeration; a refit
    where the old map is.
    """
    from openTSNE import TSNE

    affinities, notes = affinities_of(scene, settings)
    count = len(scene.points)
    gathers = scene.start is None and count >= _EXAGGERATE_FROM
    if scene.start is not None:
        begin = scene.start.astype(np.float64)
    else:
        spread = _START_SPREAD if gathers else 1.0
        begin = jittered(components_map(scene.points), spread, scene.seed)
    model = TSNE(
        early_exaggeration=settings.early_exaggeration,
        early_exaggeration_iter=settings.early_iterations if gathers else 0,
        n_iter=settings.iterations,
        negative_gradient_method="fft" if count >= _FFT_FROM else "bh",
        random_state=scene.seed,
        n_jobs=scene.threads,
    )
    with quiet("openTSNE"):  # it warns of every start at full size
        drawn = model.fit(affinities=affinities, initialization=begin)
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
