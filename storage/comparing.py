"""Comparing two artifacts of one kind: recipes, rows, and how far what they hold has moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.errors import RecipeError
from storage.catalog import Catalog
from storage.kinds import find_kind
from storage.relatives import explain
from storage.store import Artifact, ArtifactStore

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_BLOCK_ROWS = 1 << 14
_ROW_COLUMNS = ("content_sha256", "rank")


@dataclass(frozen=True)
class Difference:
    """How an artifact differs from an older one."""

    fields: list[str]
    """A line for each field of recipe or inputs, those of inputs of inputs indented."""
    rows_added: int
    rows_gone: int
    rows_shared: int
    moved: list[str]
    """How far the values of shared rows have moved; empty for kinds of which nobody can say."""


def compare(store: ArtifactStore, old: Artifact, new: Artifact) -> Difference:
    """Return how `new` differs from `old`; raises RecipeError when their kinds differ."""
    if old.kind != new.kind:
        raise RecipeError(
            f"{old.key} and {new.key} are of different kinds: {old.kind} and {new.kind}. Only two "
            "of one kind can be compared."
        )
    before, after = ({row for m in store.markers(one) for row in m.rows} for one in (old, new))
    kind = find_kind(new.kind)
    moved = kind.compare or _moved
    return Difference(
        fields=explain(Catalog(store), new.key, old.key),
        rows_added=len(after - before),
        rows_gone=len(before - after),
        rows_shared=len(after & before),
        moved=moved(kind.open(store, old), kind.open(store, new)),
    )


def moved_vectors(
    old_ids: Sequence[str], old: Array, new_ids: Sequence[str], new: Array
) -> list[str]:
    """Return in words how far vectors, (n, D) floats, that share an id have turned.

    Cosines are of the vectors scaled to unit norm; a zero vector has cosine 0 to all.
    """
    if old.shape[1:] != new.shape[1:]:
        return [f"vectors: {new.shape[1]} numbers each, were {old.shape[1]}"]
    place = {row: position for position, row in enumerate(old_ids)}
    pairs = [(place[row], position) for position, row in enumerate(new_ids) if row in place]
    if not pairs:
        return []
    cosines = np.concatenate(
        [
            _cosines(old, new, pairs[at : at + _BLOCK_ROWS])
            for at in range(0, len(pairs), _BLOCK_ROWS)
        ]
    )
    least = int(cosines.argmin())
    return [
        f"vectors: cosine to the older one {np.median(cosines):.6f} in the median, "
        f"{cosines[least]:.6f} at least ({new_ids[pairs[least][1]][:12]})"
    ]


def _cosines(old: Array, new: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    mine, theirs = np.asarray(pairs).T
    a, b = old[mine].astype(np.float64), new[theirs].astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: Array = np.einsum("nd,nd->n", a, b) / np.where(norms > 0, norms, 1)
    return cosines


def _moved(old: Any, new: Any) -> list[str]:
    if hasattr(old, "columns") and hasattr(new, "columns"):
        return moved_tables(old, new)
    return []


def moved_tables(old: "pd.DataFrame", new: "pd.DataFrame") -> list[str]:
    """Return in words how far the columns of two tables have moved, in the rows that both have.

    Rows are known by their content and rank; numbers tell the mean and the greatest change,
    texts how many are others.
    """
    keys = [name for name in _ROW_COLUMNS if name in old and name in new]
    if not keys or old.duplicated(keys).any() or new.duplicated(keys).any():
        return []
    both = old.merge(new, on=keys, suffixes=(" was", ""))
    shared = [name for name in new.columns if name in old.columns and name not in keys]
    return [line for name in shared if (line := _column_change(name, both))]


def _column_change(name: str, both: "pd.DataFrame") -> str | None:
    old, new = both[f"{name} was"], both[name]
    if new.dtype.kind == "f" and old.dtype.kind in "fiu":
        change = (new - old).abs()
        appeared = int((new.isna() != old.isna()).sum())
        told = f"{name}: {change.mean():.4g} on average, {change.max():.4g} at most"
        told += f", {appeared} null in one of them only" if appeared else ""
        return told if change.max() > 0 or appeared else None
    if new.dtype.kind == "O" and new.map(np.ndim).any():  # lists have no one number to tell
        return None
    others = int(((new != old) & ~(new.isna() & old.isna())).sum())
    return f"{name}: another in {others:,} of {len(both):,} rows" if others else None
