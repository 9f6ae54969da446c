"""Lineage: what an artifact was made of, and what was made of it, in columns from left to right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage.home.view import StoreView

DEEPEST = 8
HIGHEST = 12


@dataclass(frozen=True)
class Node:
    """An artifact in a lineage."""

    key: str
    kind: str
    name: str
    """A name that it bears, or its key."""
    column: int
    """0 is the artifact asked about; what it was made of lies below 0."""
    place: int
    """From the top of its column."""


@dataclass(frozen=True)
class Lineage:
    """The nodes and edges of a drawing."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str, str], ...]
    """(parent, child, name of the input)."""
    left_out: int
    """Artifacts that belong to it and for which there is no room."""


def lineage(view: StoreView, key: str) -> Lineage:
    """Return the lineage of the artifact `key`; the columns hold at most `HIGHEST` each."""
    up = _columns(key, {e.key: view.parents(e).values() for e in view.entries})
    down = _columns(key, {k: [c.key for c in found] for k, found in view.children.items()})
    columns: dict[int, list[str]] = {}
    for one, depth in {**down, **{k: -depth for k, depth in up.items()}}.items():
        columns.setdefault(depth, []).append(one)
    nodes = [
        Node(one, view.by_key[one].kind, view.name(one), column, place)
        for column, found in sorted(columns.items())
        for place, one in enumerate(found[:HIGHEST])
    ]
    shown = {node.key for node in nodes}
    edges = [
        (parent, node.key, name)
        for node in nodes
        for name, parent in view.parents(view.by_key[node.key]).items()
        if parent in shown
    ]
    left_out = sum(map(len, columns.values())) - len(nodes)
    return Lineage(tuple(nodes), tuple(edges), left_out)


def _columns(start: str, after: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return how many steps each artifact is from `start` by its longest way, up to DEEPEST."""
    found = {start: 0}
    front = {start}
    for depth in range(1, DEEPEST + 1):
        front = {one for key in front for one in after.get(key, ())} - {start}
        found |= dict.fromkeys(sorted(front), depth)
    return found
