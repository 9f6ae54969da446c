"""What the page of a map shows, ready to be drawn: arrays and names, nothing computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from tasks.compute.diagnostics.report import Diagnostics
from tasks.compute.projection.trust import TrustSummary

Thumbnails = Callable[[int], bytes | None]
"""Gives the JPEG of a point by its number, or None where it has no picture."""


@dataclass(frozen=True)
class Categories:
    """A name for every point, such as its label or its split."""

    names: tuple[str, ...]
    codes: Int32[np.ndarray, " points"]
    """The place in `names`; -1 is missing."""


@dataclass(frozen=True)
class Numbers:
    """A number for every point, such as a score; NaN is missing."""

    values: Float32[np.ndarray, " points"]


Column = Categories | Numbers


@dataclass(frozen=True)
class MapView:
    """A map with everything that its page shows.

    Arrays are in the order of `ids`; what has another length raises ValueError.
    """

    title: str
    method: str
    """How the map was made, in words: `t-SNE of 50 principal components, perplexity 30`."""
    coords: Float32[np.ndarray, "points 2"]
    """NaN for a row that could not be placed: it is listed, not drawn."""
    ids: tuple[str, ...]
    columns: Mapping[str, Column] = field(default_factory=dict)
    neighbours: Int32[np.ndarray, "points k"] | None = None
    """The nearest other points in the ORIGINAL space, nearest first; -1 where there is none."""
    distances: Float32[np.ndarray, "points k"] | None = None
    trust: TrustSummary | None = None
    point_trust: Float32[np.ndarray, " points"] | None = None
    """The trustworthiness of single points, in [0, 1]; NaN for those not sampled."""
    thumbnails: Thumbnails | None = None
    order_proven: bool = True
    """Whether something proves that vectors and names are in the same order."""
    notes: tuple[str, ...] = ()
    diagnostics: Diagnostics | None = None

    def __post_init__(self) -> None:
        count = len(self.ids)
        for name, array, shape in self._arrays():
            if array.shape[: len(shape)] != shape:
                raise ValueError(
                    f"{name} of the map {self.title!r} has shape {array.shape}; "
                    f"{count:,} points need {' x '.join(map(str, shape))}."
                )
        for name, column in self.columns.items():
            if isinstance(column, Categories) and column.codes.size:
                low, high = int(column.codes.min()), int(column.codes.max())
                if low < -1 or high >= len(column.names):
                    raise ValueError(
                        f"Column {name!r} of the map {self.title!r} has codes from {low} to "
                        f"{high}; its {len(column.names)} names allow -1 to "
                        f"{len(column.names) - 1}."
                    )

    def _arrays(self) -> list[tuple[str, np.ndarray[Any, Any], tuple[int, ...]]]:
        count = len(self.ids)
        told: list[tuple[str, Any, tuple[int, ...]]] = [
            ("coords", self.coords, (count, 2)),
            ("neighbours", self.neighbours, (count,)),
            ("point_trust", self.point_trust, (count,)),
        ]
        if self.neighbours is not None:
            told.append(("distances", self.distances, self.neighbours.shape))
        for name, column in self.columns.items():
            values = column.codes if isinstance(column, Categories) else column.values
            told.append((f"column {name!r}", values, (count,)))
        return [(name, array, shape) for name, array, shape in told if array is not None]
