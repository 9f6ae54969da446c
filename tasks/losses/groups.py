"""Groups of the images of a loss matrix: found, explained, shown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.dataset import SourceSpec
from conf.keys import ArtifactKey
from conf.losses import LossClustersRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from storage.detections import Detections
from storage.errors import StoreError
from storage.images import ImageFeatures
from storage.losses.clusters import rich_in, write_clusters
from storage.losses.reading import LossMatrix
from storage.store import Artifact, ArtifactStore
from tasks.compute.losses import groups as compute
from tasks.dataset import Contents, open_contents
from tasks.declaring import part_task
from tasks.losses.drawing import drawn
from tasks.pages.losses import LossView, MedoidView, loss_page
from tasks.stopping import check_not_stopped

LEAST_IMAGES = 3
MOST_MEDOIDS = 24
_METHODS = {"hdbscan": "HDBSCAN", "mean": "average linkage of both directions' mean"}
Labels = NDArray[np.int64]


class TooFewImages(StoreError):
    """There are not enough images for groups."""


def inputs_of(matrix: ArtifactKey, images: ArtifactKey | None) -> dict[str, ArtifactKey]:
    """Return the inputs of the groups of `matrix`: features of an encoder may be missing."""
    return {"matrix": matrix} | ({"images": images} if images else {})


@part_task
def find_groups(
    recipe: LossClustersRecipe,
    matrix: Artifact,
    images: Artifact | None = None,
    *,
    part: str,
    detections: Artifact,
    dataset: Artifact,
    source: SourceSpec,
    runtime: Runtime,
) -> int:
    """Seal the groups of `matrix` with their page; return how many images they are of.

    `images` are features of an encoder, of the same images, that neighbours are compared with.
    """
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    inputs = inputs_of(store.key_of(matrix), store.key_of(images) if images else None)
    draft = store.open_draft(recipe.key(**inputs))
    losses, found = LossMatrix(store, matrix), Detections(store, detections)
    if len(losses) < LEAST_IMAGES:
        raise TooFewImages(
            f"{matrix.key} is of {len(losses)} images: groups take {LEAST_IMAGES} or more. Add "
            "images to the source."
        )
    encoder = Encoder(ImageFeatures(store, images)) if images else None
    grouped = group(losses, found, recipe, encoder)
    contents = open_contents(dataset, source, runtime)
    view = view_of(losses, found, recipe, grouped, contents)
    with draft.write_part(part) as writer:
        trees = {
            "reciprocal": grouped.reciprocal,
            "nonreciprocal": grouped.nonreciprocal,
            "mean": grouped.mean,
        }
        write_clusters(writer, grouped.columns, trees, grouped.summary, loss_page(view))
    return len(losses)


class Encoder:
    """Features of images by another model than the detector."""

    def __init__(self, images: ImageFeatures) -> None:
        self._images = images
        model = ModelSpec.model_validate(images.manifest.recipe["model"])
        named = (name for name in (model.name, model.weights) if name != "default")
        self.name = " ".join((model.family, *named))

    def features(self, contents: Sequence[str]) -> NDArray[np.float32]:
        """Return the features (n, D) of `contents`."""
        return np.asarray(self._images.pooled(contents), np.float32)


@dataclass(frozen=True, eq=False)
class Grouped:
    """The groups of a matrix."""

    directed: NDArray[np.float32]
    reciprocal: NDArray[np.float64]
    nonreciprocal: NDArray[np.float64]
    mean: NDArray[np.float64]
    labels: Labels
    """The groups that are explained: those of HDBSCAN, where it finds two or more, else of the
    mean tree."""
    order: Labels
    columns: dict[str, Any]
    summary: dict[str, Any]


def group(
    losses: LossMatrix,
    found: Detections,
    recipe: LossClustersRecipe,
    encoder: Encoder | None = None,
) -> Grouped:
    """Return the groups of `losses` by every method, and what they mean."""
    directed = compute.dissimilarity(losses.total(recipe.components), recipe.measure)
    both = compute.symmetric(directed, "max")
    dense = hdbscan(both, recipe.min_cluster_size)
    wanted = recipe.clusters or max(2, int(dense.max()) + 1)
    trees = {
        "reciprocal": compute.reciprocal_tree(directed),
        "nonreciprocal": compute.nonreciprocal_tree(directed),
        "mean": compute.mean_tree(directed),
    }
    cuts = {name: compute.cut(tree, wanted) for name, tree in trees.items()}
    method = "hdbscan" if recipe.clusters is None and dense.max() >= 1 else "mean"
    labels = dense if method == "hdbscan" else cuts["mean"]
    order = compute.heatmap_order(trees["mean"], labels)
    near = compute.nearest(both, recipe.neighbours)
    names, what = classes_of(found, losses.contents)
    middle = compute.medoids(directed, labels)
    positions = np.empty(len(order), np.int64)
    positions[order] = np.arange(len(order))
    columns = {
        "content_sha256": list(losses.contents),
        "group": labels,
        "hdbscan": dense,
        **cuts,
        "position": positions,
        "is_medoid": np.isin(np.arange(len(order)), list(middle.values())),
        "hub_count": compute.hub_counts(near),
        "mean_as_head": _mean_of_others(directed, 1),
        "mean_as_targets": _mean_of_others(directed, 0),
        "detections": losses.targets,
        "class": names,
    }
    heights = [float(tree[:, 2].sum()) for tree in (trees["reciprocal"], trees["nonreciprocal"])]
    summary = {
        "images": len(losses),
        "measure": recipe.measure,
        "components": list(recipe.components or losses.components),
        "method": method,
        "groups": int(labels.max()) + 1,
        "in_no_group": int((labels < 0).sum()),
        "asymmetry": compute.asymmetry(directed),
        "direction_gap": None if heights[0] == 0 else 1 - heights[1] / heights[0],
        "agreement_with_gap": agreement(near, found.gap(losses.contents)),
        "agreement_with_encoder": agreement(near, encoder.features(losses.contents))
        if encoder
        else None,
        "encoder": encoder.name if encoder else None,
        "neighbours": near.shape[1],
        "medoids": {str(number): losses.contents[place] for number, place in middle.items()},
        "classes_are": what,
        "enrichment": [asdict(one) for one in compute.enrichments(labels, names)],
    }
    return Grouped(
        directed, trees["reciprocal"], trees["nonreciprocal"], trees["mean"], labels, order,
        columns, summary,
    )  # fmt: skip


def hdbscan(distances: NDArray[np.float32], min_cluster_size: int) -> Labels:
    """Return the groups that HDBSCAN finds in symmetric distances, -1 for what is in none."""
    if len(distances) < 2 * min_cluster_size:
        return np.full(len(distances), -1, np.int64)
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(min_cluster_size=min_cluster_size, metric="precomputed", copy=True)
    found = model.fit_predict(distances.astype(np.float64))
    return compute.by_size(np.asarray(found, np.int64))


def agreement(near: Labels, features: NDArray[np.float32]) -> dict[str, float] | None:
    """Return how far neighbours are those by `features`, and would be by chance."""
    agreed = compute.agreement(near, features)
    return None if agreed is None else asdict(agreed)


def classes_of(found: Detections, contents: Sequence[str]) -> tuple[list[str | None], str]:
    """Return one class an image and what it is: its commonest known object, or where nothing is
    known of any image, its commonest detection."""
    images = found.images.set_index("content_sha256")["flag_cat_name"]
    known = [images[content] for content in contents]
    if any(isinstance(name, str) for name in known):
        told = "the most frequent known object of an image"
        return [name if isinstance(name, str) else None for name in known], told
    seen: list[str | None] = []
    for content in contents:
        ids = found.in_square(content).class_ids
        seen.append(found.names[int(np.bincount(ids).argmax())] if len(ids) else None)
    return seen, "the most frequent detection of an image"


def view_of(
    losses: LossMatrix,
    found: Detections,
    recipe: LossClustersRecipe,
    grouped: Grouped,
    contents: Contents,
) -> LossView:
    """Return what the page shows."""
    ledger, summary = contents.ledger, grouped.summary
    uris = {sha256: uri for uri, sha256 in zip(ledger.uri, ledger.sha256, strict=True) if sha256}
    names = [uris.get(content, content[:12]) for content in losses.contents]
    rich, views = rich_in(summary), []
    for number, content in list(summary["medoids"].items())[:MOST_MEDOIDS]:
        ids = found.in_square(content).class_ids.tolist()
        views.append(
            MedoidView(
                group=int(number),
                size=int((grouped.labels == int(number)).sum()),
                name=uris.get(content, content[:12]),
                jpeg=drawn(contents.image(content), found, content),
                found=dict(Counter(found.names[i] for i in ids).most_common()),
                classes=[_rich(one) for one in rich.get(int(number), ())],
            )
        )
    return LossView(
        title=f"Loss matrix of {len(losses)} images",
        facts=facts(summary),
        names=names,
        groups=grouped.labels,
        classes=grouped.columns["class"],
        order=grouped.order,
        directed=grouped.directed,
        measure=summary["measure"],
        losses={name: losses.matrix(name) for name in losses.components},
        medoids=views,
        tables=[hubs(grouped, names), enriched(summary)],
    )


def facts(summary: dict[str, Any]) -> list[str]:
    """Return what the summary says, in sentences."""
    told = {
        "regret": "how much worse another image's detections fit a head than its own do",
        "loss": "the loss of a head with another image's detections",
        "rank": "which of all images' detections fit a head best, as a share",
    }[summary["measure"]]
    lines = [
        f"A row is a head, a column another image's detections; a cell is {told} "
        f"({' + '.join(summary['components'])}).",
        f"{summary['groups']} groups by {_METHODS[summary['method']]}, {summary['in_no_group']} "
        "images in none.",
    ]
    if summary["asymmetry"] is not None:
        lines.append(f"Asymmetry {summary['asymmetry']:.3f}: 0 if both directions were the same.")
    if summary["direction_gap"] is not None:
        lines.append(
            f"Joining along one-way paths instead of two-way steps lowers the tree by "
            f"{summary['direction_gap']:.1%}: so much does direction matter."
        )
    yardsticks = (
        (summary["agreement_with_gap"], "the detector's own features"),
        (summary["agreement_with_encoder"], f"the features of {summary['encoder']}"),
    )
    lines += [
        f"Of the {summary['neighbours']} nearest images {agreed['overlap']:.1%} are also nearest "
        f"by {what}; by chance {agreed['chance']:.1%} would be."
        for agreed, what in yardsticks
        if agreed
    ]
    return lines


def hubs(grouped: Grouped, names: Sequence[str]) -> tuple[str, Sequence[str], list[list[object]]]:
    """Return the table of the images that most others are near to."""
    counts = np.asarray(grouped.columns["hub_count"])
    rows: list[list[object]] = [
        [names[place], int(counts[place]), int(grouped.labels[place]),
         f"{grouped.columns['mean_as_head'][place]:.4g}",
         f"{grouped.columns['mean_as_targets'][place]:.4g}"]
        for place in np.argsort(-counts, kind="stable")[:10]
    ]  # fmt: skip
    header = ("image", "neighbour of", "group", "mean as head", "mean as targets")
    return "Hubs: near to the most others", header, rows


def enriched(summary: dict[str, Any]) -> tuple[str, Sequence[str], list[list[object]]]:
    """Return the table of the classes that groups are rich in."""
    rows: list[list[object]] = [
        [one["group"], one["name"], one["images"], f"{one['lift']:.2f}", f"{one['q']:.2g}"]
        for one in summary["enrichment"][:20]
    ]
    header = ("group", "class", "images", "lift", "q")
    return f"Classes of groups, by {summary['classes_are']}", header, rows


def _rich(one: dict[str, Any]) -> str:
    return f"rich in {one['name']}: {one['lift']:.1f} times as many (q = {one['q']:.2g})"


def _mean_of_others(directed: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Return the mean of each row (axis 1) or column (axis 0) without the diagonal."""
    total = directed.sum(axis=axis, dtype=np.float64) - directed.diagonal()
    return np.asarray(total / max(len(directed) - 1, 1), np.float64)
