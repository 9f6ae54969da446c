"""The tasks of a map: components, neighbours, coordinates, places of new rows, and trust."""

from typing import Any

import numpy as np

from conf.keys import ArtifactKey
from conf.projection import (
    ExtensionRecipe,
    GraphRecipe,
    MapRecipe,
    PcaMethod,
    PcaRecipe,
    TrustRecipe,
    TsneMethod,
    UmapMethod,
    VectorSource,
)
from conf.runtime import Runtime
from storage.drafts import Draft
from storage.projection.errors import BadVectors
from storage.projection.maps import MapFiles, write_arrays, write_facts, write_points, write_rows
from storage.store import Artifact, ArtifactStore
from tasks.compute.projection.embed import Scene, embed
from tasks.compute.projection.graph import Neighbours, nearest_neighbours
from tasks.compute.projection.pca import fit_pca
from tasks.compute.projection.place import Reference, differing, match_rows, place
from tasks.compute.projection.procrustes import align, moves, stability
from tasks.compute.projection.trust import largest_neighbourhood, too_few, trust
from tasks.declaring import part_task
from tasks.projection.vectors import read_vectors, usable_vectors
from tasks.stopping import check_not_stopped

Array = np.ndarray[Any, Any]


def _draft(recipe: Any, runtime: Runtime, **inputs: ArtifactKey) -> Draft:
    check_not_stopped()
    return ArtifactStore(runtime.store).open_draft(recipe.key(**inputs))


def _files(artifact: Artifact, runtime: Runtime) -> MapFiles:
    return MapFiles(ArtifactStore(runtime.store), artifact)


@part_task
def make_components(
    recipe: PcaRecipe, vectors: ArtifactKey, *, source: VectorSource, part: str, runtime: Runtime
) -> int:
    """Seal the principal components of the vectors, and return how many rows they are of."""
    draft = _draft(recipe, runtime, vectors=vectors)
    found = read_vectors(source, vectors, runtime)
    usable, reasons = usable_vectors(source, vectors, runtime, unit=recipe.unit)
    rows, dim = usable.shape
    facts: dict[str, Any] = {"dim": dim, "rows": rows, "kept": None}
    with draft.write_part(part) as writer:
        if recipe.dims is None:
            write_arrays(writer, scores=usable, residuals=np.zeros(rows, np.float32))
        else:
            pca = fit_pca(usable, recipe.dims)
            scores = pca.scores(usable)
            write_arrays(
                writer,
                mean=pca.mean,
                components=pca.components,
                variance=pca.variance,
                scores=scores,
                residuals=_residuals(usable, pca.mean, scores),
            )
            facts |= {"kept": scores.shape[1], "total_variance": pca.total_variance}
        write_facts(writer, facts)
        write_rows(writer, found.ids, found.digests(), reasons)
    return rows


def _residuals(vectors: Array, mean: Array, scores: Array) -> Array:
    """Return how far each vector (n, d) is from what its scores can say, float32 (n,)."""
    norms = np.einsum("ij,ij->i", vectors, vectors) - 2 * (vectors @ mean) + mean @ mean
    kept = np.einsum("ij,ij->i", scores, scores)
    return np.asarray(np.sqrt(np.maximum(norms - kept, 0)), np.float32)


@part_task
def make_graph(
    recipe: GraphRecipe,
    vectors: ArtifactKey,
    pca: Artifact | None,
    *,
    source: VectorSource,
    part: str,
    runtime: Runtime,
) -> int:
    """Seal the nearest neighbours of every row, and return how many rows there are."""
    if pca is None:
        draft = _draft(recipe, runtime, vectors=vectors)
        points, _ = usable_vectors(source, vectors, runtime, unit=recipe.unit)
    else:
        found = _files(pca, runtime)
        draft = _draft(recipe, runtime, pca=found.store.key_of(pca))
        points = np.asarray(found.array("scores"))
    graph = nearest_neighbours(points, recipe.neighbours)
    with draft.write_part(part) as writer:
        write_arrays(writer, neighbours=graph.places, distances=graph.distances)
    return len(points)


def map_inputs(store: ArtifactStore, *artifacts: Artifact | None) -> dict[str, ArtifactKey]:
    """Return the inputs of a map, of its components, graph and parent."""
    named = zip(("pca", "graph", "parent"), artifacts, strict=True)
    return {name: store.key_of(artifact) for name, artifact in named if artifact}


@part_task
def make_map(
    recipe: MapRecipe,
    pca: Artifact,
    graph: Artifact | None,
    parent: Artifact | None,
    *,
    part: str,
    runtime: Runtime,
) -> int:
    """Seal the coordinates of every row, and return how many rows there are."""
    components = _files(pca, runtime)
    draft = _draft(recipe, runtime, **map_inputs(components.store, pca, graph, parent))
    points = np.asarray(components.array("scores"))
    neighbours = _neighbours(graph, len(points), runtime)
    start, known, old = _start(components, parent, points, runtime)
    scene = Scene(points, neighbours, recipe.seed, start, max(1, runtime.lanes))
    drawn = embed(recipe.settings.method, scene, recipe.settings)
    coords, facts = drawn.coords, dict[str, Any](method=words(recipe, components))
    if parent is not None and len(known):
        alignment = align(coords[known], old)
        coords = alignment.apply(coords)
        facts["moves"] = moves(coords[known], old, alignment).as_json()
    rows = components.rows
    with draft.write_part(part) as writer:
        write_arrays(writer, coords=_spread(coords, components.usable, len(rows)))
        write_facts(writer, facts | {"notes": list(drawn.notes)})
        write_rows(writer, _ids(rows), rows["digest"].tolist(), _reasons(rows))
    return len(points)


def words(recipe: MapRecipe, components: MapFiles) -> str:
    """Return how a map was made, in words."""
    kept, dim = components.facts["kept"], components.facts["dim"]
    of = f"{kept} principal components" if kept else f"vectors of {dim} dimensions"
    match recipe.settings:
        case PcaMethod():
            return f"the first two of {of}"
        case UmapMethod(neighbours=neighbours, min_dist=least):
            return f"UMAP of {of}, {neighbours} neighbours, least distance {least:g}"
        case TsneMethod(perplexity=perplexity):
            return f"t-SNE of {of}, perplexity {perplexity:g}"
        case other:
            name = {"pacmap": "PaCMAP", "localmap": "LocalMAP"}[other.method]
            return f"{name} of {of}, {other.neighbours} neighbours"


def _neighbours(graph: Artifact | None, points: int, runtime: Runtime) -> Neighbours:
    if graph is None:
        return Neighbours(np.empty((points, 0), np.int32), np.empty((points, 0), np.float32))
    found = _files(graph, runtime)
    return Neighbours(np.asarray(found.array("neighbours")), np.asarray(found.array("distances")))


def _start(
    components: MapFiles, parent: Artifact | None, points: Array, runtime: Runtime
) -> tuple[Array | None, Array, Array]:
    """Return where a refit begins, which of its points the parent has, and where it has them.

    A new row begins at the middle of its nearest old ones.
    """
    none = np.empty(0, np.int64)
    if parent is None:
        return None, none, none
    older = _files(parent, runtime)
    placed = older.coords
    matched = _match(components.rows, older)[components.usable]
    matched[matched >= 0] = np.where(
        np.isfinite(placed[matched[matched >= 0]]).all(axis=1), matched[matched >= 0], -1
    )
    known = np.flatnonzero(matched >= 0)
    if len(known) < 2:
        raise BadVectors(
            f"{len(known)} of the {len(points)} rows are on the map {older.artifact.key}: a refit "
            "begins with the places of at least 2. Rows are known by their ids or, where they have "
            "none, by their very vectors: draw a new map, or name the one that these rows were on."
        )
    old = np.asarray(placed[matched[known]])
    start = np.empty((len(points), 2), np.float32)
    start[known] = old
    new = np.flatnonzero(matched < 0)
    if len(new):
        dims = points.shape[1]
        given = Reference(
            np.zeros(dims, np.float32),
            np.eye(dims, dtype=np.float32),
            points[known],
            np.zeros(len(known), np.float32),
            old,
        )
        start[new] = place(points[new], given, 10).coords
    return start, known, old


def _match(rows: Any, older: MapFiles) -> Array:
    """Return, for each row, which row of `older` is the same one, or -1."""
    column = "id" if rows["id"].notna().all() and older.rows["id"].notna().all() else "digest"
    return match_rows(rows[column].tolist(), older.rows[column].tolist())


def _ids(rows: Any) -> list[str] | None:
    return rows["id"].tolist() if rows["id"].notna().all() else None


def _reasons(rows: Any) -> list[str | None]:
    return [reason if isinstance(reason, str) else None for reason in rows["reason"]]


def _spread(values: Array, usable: Array, count: int) -> Array:
    full = np.full((count, *values.shape[1:]), np.nan, np.float32)
    full[usable] = values
    return full


@part_task
def extend_map(
    recipe: ExtensionRecipe,
    vectors: ArtifactKey,
    parent: Artifact,
    pca: Artifact,
    *,
    source: VectorSource,
    unit: bool,
    part: str,
    runtime: Runtime,
) -> int:
    """Seal the coordinates of all rows, those of the old map where it has them; return how many
    are new."""
    older, components = _files(parent, runtime), _files(pca, runtime)
    keys = {"vectors": vectors, "parent": older.store.key_of(parent)}
    draft = _draft(recipe, runtime, **keys, pca=older.store.key_of(pca))
    found = read_vectors(source, vectors, runtime)
    usable, reasons = usable_vectors(source, vectors, runtime, unit=unit)
    digests, at = found.digests(), np.flatnonzero([reason is None for reason in reasons])
    reference = _reference(older, components, usable.shape[1])
    matched = _matched(found.ids, digests, older)
    new = matched[at] < 0
    coords = _spread(np.full((len(at), 2), np.nan, np.float32), at, len(digests))
    coords[at[~new]] = older.coords[matched[at[~new]]]
    score = np.full(len(digests), np.nan, np.float32)
    if new.any():
        placement = place(usable[new], reference, recipe.neighbours)
        coords[at[new]], score[at[new]] = placement.coords, placement.in_distribution
    facts = {
        "method": f"{older.facts['method']}; new rows placed by their {recipe.neighbours} nearest",
        "notes": list(older.notes),
        "placed": int(new.sum()),
        "kept": int((~new).sum()),
        "strange": int((score[at[new]] < 0.01).sum()),
    }
    with draft.write_part(part) as writer:
        write_arrays(writer, coords=coords)
        write_facts(writer, facts)
        is_new = np.zeros(len(digests), bool)
        is_new[at[new]] = True
        write_rows(writer, found.ids, digests, reasons, is_new=is_new, in_distribution=score)
    return int(new.sum())


def _reference(older: MapFiles, components: MapFiles, dim: int) -> Reference:
    if components.facts["dim"] != dim:
        raise BadVectors(
            f"The new vectors have {dim} dimensions, those of the map {older.artifact.key} "
            f"{components.facts['dim']}: they are of different models. Give vectors of the same "
            "model, or draw a new map."
        )
    scores = np.asarray(components.array("scores"))
    if components.has("components"):
        mean, loadings = np.asarray(components.array("mean")), components.array("components")
    else:
        mean, loadings = np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32)
    coords = older.coords[components.usable]
    residuals = np.asarray(components.array("residuals"))
    return Reference(mean, np.asarray(loadings), scores, residuals, np.asarray(coords))


def _matched(ids: tuple[str, ...] | None, digests: list[str], older: MapFiles) -> Array:
    rows = older.rows
    known = rows["digest"].tolist()
    if ids is None or not rows["id"].notna().all():
        return match_rows(digests, known)
    matched = match_rows(ids, rows["id"].tolist())
    other = differing(matched, digests, known)
    if other.any():
        at = int(np.flatnonzero(other)[0])
        raise BadVectors(
            f"{int(other.sum())} rows of the map {older.artifact.key} have other vectors now, the "
            f"first is {ids[at][:24]}: they were made by another model. An old map takes rows of "
            "the same model only; draw a new map, or refit this one."
        )
    return matched


def trust_inputs(
    store: ArtifactStore, vectors: ArtifactKey, coordinates: Artifact, others: tuple[Artifact, ...]
) -> dict[str, ArtifactKey]:
    """Return the inputs of a judgement: a map, and the maps of other seeds."""
    seeds = {f"seed_{number}": store.key_of(other) for number, other in enumerate(others, 1)}
    return {"vectors": vectors, "coordinates": store.key_of(coordinates), **seeds}


@part_task
def judge_map(
    recipe: TrustRecipe,
    vectors: ArtifactKey,
    coordinates: Artifact,
    others: tuple[Artifact, ...],
    *,
    source: VectorSource,
    part: str,
    runtime: Runtime,
) -> int:
    """Seal how far the map can be believed, overall and at each anchor; return how many those
    are."""
    drawn = _files(coordinates, runtime)
    draft = _draft(recipe, runtime, **trust_inputs(drawn.store, vectors, coordinates, others))
    points, _ = usable_vectors(source, vectors, runtime, unit=recipe.unit)
    rows = drawn.usable
    coords = np.asarray(drawn.coords)[rows]
    columns: dict[str, Array] = {}
    chosen, facts = np.empty(0, np.int64), dict[str, Any]()
    if largest_neighbourhood(len(points)) < 1:
        facts["reason"] = too_few(len(points))
    else:
        found = trust(
            points, coords,
            neighbours=recipe.neighbours, anchors=recipe.anchors, seed=recipe.seed,
        )  # fmt: skip
        chosen = found.anchors
        names = ("trustworthiness", "continuity", "recall")
        columns = {name: getattr(found, name) for name in names}
        told, strays = None, None
        if others:
            maps = [np.asarray(_files(other, runtime).coords)[rows] for other in others]
            told, strays = stability([coords, *maps], found.neighbours, min(recipe.anchors, 1000))
            columns["shift"] = strays[chosen]
        facts = found.summary(told).as_json()
    with draft.write_part(part) as writer:
        write_facts(writer, facts)
        write_points(writer, len(drawn.rows), rows[chosen], **columns)
    return len(chosen)
