"""Groups of images on disk: `images.parquet`, `trees.safetensors`, `summary.json`, `page.html`."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.atomic import json_bytes
from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

IMAGES, TREES, SUMMARY, PAGE = "images.parquet", "trees.safetensors", "summary.json", "page.html"


SURE_BELOW = 0.05
"""Of a q-value: a group is called rich in a class where chance would seldom make it so."""


class LossClusters:
    """Read access to the groups of a matrix."""

    def __init__(self, store: ArtifactStore, artifact: Artifact) -> None:
        self.path = store.path_of(artifact)
        (marker,) = store.markers(artifact)
        self._folder = self.path / "parts" / marker.part

    @cached_property
    def images(self) -> "pd.DataFrame":
        """One row an image: its groups, its place in the heatmap, how much of a hub it is."""
        import pandas as pd

        return pd.read_parquet(self._folder / IMAGES)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Asymmetry, agreement with the features, medoids, classes that groups are rich in."""
        read: dict[str, Any] = json.loads((self._folder / SUMMARY).read_bytes())
        return read

    @cached_property
    def rich_in(self) -> dict[int, list[dict[str, Any]]]:
        """The classes that each group is rich in, the surest first; see `rich_in`."""
        return rich_in(self.summary)

    @cached_property
    def trees(self) -> dict[str, NDArray[np.float64]]:
        """Each hierarchy as scipy's linkage (N - 1, 4): reciprocal, nonreciprocal, mean."""
        from safetensors.numpy import load_file

        return dict(load_file(self._folder / TREES))

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self._folder / PAGE


def rich_in(summary: Mapping[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """Return, by group, the enrichments of a summary that are above 1 and no work of chance."""
    found: dict[int, list[dict[str, Any]]] = {}
    for one in summary["enrichment"]:
        if one["q"] < SURE_BELOW and one["lift"] > 1:
            found.setdefault(one["group"], []).append(one)
    return found


def write_clusters(
    writer: PartWriter,
    images: dict[str, Any],
    trees: dict[str, NDArray[np.float64]],
    summary: dict[str, Any],
    page: str,
) -> None:
    """Write the one part of the groups of a matrix."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save

    with step("write", writer.folder / IMAGES):
        pq.write_table(pa.table(images), writer.folder / IMAGES)
    contents = {
        TREES: save({name: np.ascontiguousarray(tree) for name, tree in trees.items()}),
        SUMMARY: json_bytes(summary),
        PAGE: page.encode(),
    }
    for name, content in contents.items():
        with step("write", writer.folder / name):
            (writer.folder / name).write_bytes(content)
