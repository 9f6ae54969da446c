"""Groups of images by a directed dissimilarity, and what the direction and the groups mean.

scipy's clusters and statistics are imported where they are used: it takes half a second, and a run
of which all is stored needs none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

Square = Float32[np.ndarray, "n n"]
Tree = Float64[np.ndarray, "steps 4"]
Labels = Int64[np.ndarray, " n"]


def dissimilarity(
    losses: Square, measure: Literal["regret", "loss", "rank"]
) -> Float32[np.ndarray, "n n"]:
    """Losses as a dissimilarity: never negative, and 0 of an image with itself.

    "regret" is d(i, j) - d(i, i), 0 where another image's detections fit better than one's own;
    "rank" is the share of the other images whose detections fit row i better than j's, ties
    shared, which takes away how hard rows and columns are; "loss" is d(i, j) off the diagonal.
    """
    if measure == "rank":
        found = _row_ranks(losses)
    elif measure == "regret":
        found = np.maximum(losses - losses.diagonal()[:, None], 0)
    else:
        found = np.maximum(losses, 0)
    np.fill_diagonal(found, 0)
    return np.asarray(found, np.float32)


def _row_ranks(losses: Square) -> Square:
    from scipy.stats import rankdata

    count = len(losses)
    others = losses.astype(np.float64)
    np.fill_diagonal(others, -np.inf)  # oneself comes first
    ranks = rankdata(others, axis=1, method="average") - 1
    return np.asarray(ranks / max(count - 1, 1), np.float32)


def symmetric(directed: Square, how: Literal["max", "mean"]) -> Float32[np.ndarray, "n n"]:
    """The larger of both directions, or their mean."""
    if how == "max":
        return np.asarray(np.maximum(directed, directed.T), np.float32)
    return np.asarray((directed + directed.T) / 2, np.float32)


def asymmetry(directed: Square) -> float | None:
    """||d - dT|| / ||d + dT|| in the Frobenius norm, from 0 (symmetric) to 1; None of all zeros."""
    total = float(np.linalg.norm((directed + directed.T).astype(np.float64)))
    if total == 0:
        return None
    return float(np.linalg.norm((directed - directed.T).astype(np.float64))) / total


def reciprocal_tree(directed: Square) -> Tree:
    """The reciprocal hierarchy: images join when both directions of every step are cheap.

    Single linkage of max(d, dT); Carlsson, Memoli, Ribeiro and Segarra, arXiv 1301.7724.
    """
    return _tree(symmetric(directed, "max"), "single")


def nonreciprocal_tree(directed: Square) -> Tree:
    """The nonreciprocal hierarchy: images join when cheap paths lead there and, maybe others, back.

    Its heights are never above those of the reciprocal one, and every method that is admissible in
    the sense of arXiv 1301.7724 lies between the two: where they differ, direction matters.
    """
    from tasks.compute.losses.kernels.paths import minimax_paths

    paths = np.array(directed, np.float32, order="C")
    minimax_paths(paths)
    return _tree(symmetric(paths, "max"), "single")


def mean_tree(directed: Square) -> Tree:
    """Average linkage of the mean of both directions."""
    return _tree(symmetric(directed, "mean"), "average")


def _tree(distances: Square, method: str) -> Tree:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    return np.asarray(linkage(squareform(distances, checks=False), method), np.float64)


def cut(tree: Tree, clusters: int) -> Labels:
    """At most `clusters` groups of a tree, numbered from 0, the largest first."""
    from scipy.cluster.hierarchy import fcluster

    return by_size(fcluster(tree, clusters, criterion="maxclust").astype(np.int64))


def by_size(labels: Labels) -> Labels:
    """The labels renumbered from 0, the largest group first; -1, in no group, stays."""
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    place = {name: rank for rank, name in enumerate(order.tolist())}
    return np.array([place.get(label, -1) for label in labels.tolist()], np.int64)


def heatmap_order(tree: Tree, labels: Labels) -> Int64[np.ndarray, " n"]:
    """Images in the order of their groups, within one as they lie in the tree; no group comes
    last."""
    from scipy.cluster.hierarchy import leaves_list

    leaves = leaves_list(tree)
    groups = np.where(labels < 0, labels.max(initial=-1) + 1, labels)
    return np.asarray(leaves[np.argsort(groups[leaves], kind="stable")], np.int64)


def medoids(directed: Square, labels: Labels) -> dict[int, int]:
    """Of each group, the image that is nearest to all others in both directions together."""
    both = symmetric(directed, "mean")
    found = {}
    for group in np.unique(labels[labels >= 0]).tolist():
        members = np.flatnonzero(labels == group)
        inside = both[np.ix_(members, members)].sum(axis=1, dtype=np.float64)
        found[group] = int(members[inside.argmin()])
    return found


def nearest(distances: Square, count: int) -> Int64[np.ndarray, "n k"]:
    """The `count` nearest others of each row, the first of equals first."""
    others = np.array(distances, np.float64)
    np.fill_diagonal(others, np.inf)
    kept = min(count, len(others) - 1)
    return np.asarray(np.argsort(others, axis=1, kind="stable")[:, :kept], np.int64)


def hub_counts(neighbours: Int64[np.ndarray, "n k"]) -> Int64[np.ndarray, " n"]:
    """How often each image is among the neighbours of another."""
    return np.bincount(neighbours.ravel(), minlength=len(neighbours)).astype(np.int64)


@dataclass(frozen=True)
class Agreement:
    """How far the neighbours by two measures are the same."""

    overlap: float
    """The mean share of neighbours that both name."""
    chance: float
    """What neighbours drawn at random would share."""


def agreement(
    ours: Int64[np.ndarray, "n k"], features: Float32[np.ndarray, "n d"]
) -> Agreement | None:
    """How many of an image's neighbours are its neighbours by the cosine of features, too."""
    count, kept = ours.shape
    if count < 2 or not kept:
        return None
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms > 0, norms, 1)
    theirs = nearest(np.asarray(1 - unit @ unit.T, np.float32), kept)
    shared = [len(np.intersect1d(a, b)) / kept for a, b in zip(ours, theirs, strict=True)]
    return Agreement(float(np.mean(shared)), kept / (count - 1))


@dataclass(frozen=True)
class Enrichment:
    """A class that a group holds more of than its size would let expect."""

    group: int
    name: str
    images: int
    """Of the class in the group."""
    lift: float
    """Its share in the group over its share in all."""
    q: float
    """Probability of so many or more by chance (hypergeometric), all tests together held to a
    false discovery rate (Benjamini and Hochberg)."""


def enrichments(labels: Labels, classes: Sequence[str | None]) -> list[Enrichment]:
    """Every class of every group, the least likely by chance first; images of no class stand
    aside."""
    from scipy.stats import false_discovery_control, hypergeom

    told: Bool[np.ndarray, " n"] = np.array([name is not None for name in classes], np.bool_)
    names = np.array([name or "" for name in classes], object)
    found: list[Enrichment] = []
    for group in np.unique(labels[(labels >= 0) & told]).tolist():
        members = told & (labels == group)
        size, total = int(members.sum()), int(told.sum())
        for name in sorted(set(names[members])):
            here, everywhere = int((names[members] == name).sum()), int((names[told] == name).sum())
            chance = float(hypergeom.sf(here - 1, total, everywhere, size))
            lift = (here / size) / (everywhere / total)
            found.append(Enrichment(group, str(name), here, lift, min(chance, 1.0)))
    if not found:
        return []
    corrected = false_discovery_control([one.q for one in found])
    fixed = [
        Enrichment(one.group, one.name, one.images, one.lift, float(q))
        for one, q in zip(found, corrected, strict=True)
    ]
    return sorted(fixed, key=lambda one: (one.q, one.group, one.name))
