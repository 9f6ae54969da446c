"""LocalMAP by its authors' package. Wang, Sun, Huang & Rudin (2024)."""

from typing import Any

from tasks.compute.projection.embed import Embedding, Scene
from tasks.compute.projection.embed_pacmap import fit


def embed(scene: Scene, settings: Any) -> Embedding:
    """Return the LocalMAP map; the package finds its own scaled neighbours."""
    from pacmap import LocalMAP

    return fit(LocalMAP, scene, settings, low_dist_thres=settings.low_distance)
