"""The page of a map: names, colours, neighbours and pictures put together, and rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conf.dataset import SourceSpec
from conf.keys import ArtifactKey
from conf.projection import PageRecipe, VectorSource
from conf.runtime import Runtime
from storage.projection.atlas import write_atlas
from storage.projection.columns import joined_columns
from storage.projection.maps import PAGE, POINTS, MapFiles, write_text
from storage.projection.names import RowNames
from storage.store import Artifact, ArtifactStore
from tasks.compute.projection.clusters import clusters
from tasks.compute.projection.trust import TrustSummary
from tasks.declaring import part_task
from tasks.diagnostics import open_diagnostics
from tasks.pages.maps.page import columns_of, render_map
from tasks.pages.maps.view import Categories, Column, MapView, Numbers
from tasks.projection.pictures import thumbnails_of
from tasks.projection.vectors import read_names, usable_vectors
from tasks.stopping import check_not_stopped

Array = np.ndarray[Any, Any]

_MOST_WORDS = 2000
"""Different values that a column to colour by may have."""


def page_inputs(
    store: ArtifactStore,
    keys: Mapping[str, ArtifactKey],
    *artifacts: Artifact | None,
    columns: Sequence[Artifact] = (),
) -> dict[str, ArtifactKey]:
    """Return the inputs of a page: `keys` of what is no artifact; coordinates, trust, nearest and,
    unless None, diagnostics; `column_1`, `column_2`, ... of what its points can be coloured by."""
    made = zip(("coordinates", "trust", "nearest", "diagnostics"), artifacts, strict=True)
    found = dict(keys) | {name: store.key_of(artifact) for name, artifact in made if artifact}
    joined = {f"column_{at}": store.key_of(one) for at, one in enumerate(columns, 1)}
    return found | joined


@part_task
def make_page(
    recipe: PageRecipe,
    keys: Mapping[str, ArtifactKey],
    coordinates: Artifact,
    trust: Artifact,
    nearest: Artifact,
    diagnostics: Artifact | None,
    *,
    source: VectorSource,
    unit: bool,
    images: SourceSpec | None,
    columns: Sequence[Artifact] = (),
    part: str,
    runtime: Runtime,
) -> int:
    """Seal the page of a map, and return how many points it shows.

    `keys` are those of `vectors`, `names` and, where files are shown, `pictures`; `images` says
    where the pictures of a dataset are read; `columns` are joined to the rows by content.
    """
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    inputs = page_inputs(store, keys, coordinates, trust, nearest, diagnostics, columns=columns)
    draft = store.open_draft(recipe.key(**inputs))
    vectors, named = keys["vectors"], keys["names"]
    drawn, judged = MapFiles(store, coordinates), MapFiles(store, trust)
    names = _joined(store, columns, read_names(source, vectors, named, runtime))
    points, _ = usable_vectors(source, vectors, runtime, unit=unit)
    near, far = _nearest(MapFiles(store, nearest), drawn.usable, len(names.ids))
    told = judged.facts
    view = MapView(
        title=recipe.title,
        method=drawn.facts["method"],
        coords=np.asarray(drawn.coords),
        ids=names.ids,
        columns=_columns(names, drawn, judged, points),
        neighbours=near,
        distances=far,
        trust=TrustSummary.from_json(told) if "trustworthiness" in told else None,
        point_trust=_trust_of(judged),
        thumbnails=thumbnails_of(names, keys, source, images, runtime),
        order_proven=names.order_proven,
        notes=(
            *names.notes,
            *drawn.notes,
            *_told(drawn.facts),
            *filter(None, [told.get("reason")]),
        ),
        diagnostics=open_diagnostics(store, diagnostics) if diagnostics else None,
    )
    page = render_map(view, atlas_limit_bytes=recipe.atlas_limit_bytes)
    with draft.write_part(part) as writer:
        write_text(writer, PAGE, page)
        write_atlas(
            writer,
            view.ids,
            view.coords,
            _table(view),
            neighbours=near,
            distances=far,
            images=_images(view, recipe.atlas_limit_bytes),
        )
    return len(drawn.usable)


def _joined(store: ArtifactStore, columns: Sequence[Artifact], names: RowNames) -> RowNames:
    """Return `names` with what `columns` tell of their contents."""
    if not columns or names.contents is None:
        return names
    texts, numbers = joined_columns(store, columns, names.contents)
    return replace(names, texts={**names.texts, **texts}, numbers={**names.numbers, **numbers})


def _table(view: MapView) -> dict[str, Any]:
    """Return what a page colours by as columns of texts and numbers."""
    told: dict[str, Any] = {}
    for name, column in columns_of(view).items():
        if isinstance(column, Numbers):
            told[name] = column.values
        else:
            told[name] = [None if code < 0 else column.names[code] for code in column.codes]
    return told


def _images(view: MapView, limit_bytes: int) -> list[bytes | None] | None:
    """Return the thumbnails of all rows; None where there are none or they take too much."""
    if view.thumbnails is None:
        return None
    found: list[bytes | None] = []
    size = 0
    for row in range(len(view.ids)):
        found.append(view.thumbnails(row))
        size += len(found[-1] or b"")
        if size > limit_bytes:
            return None
    return found


def _told(facts: Mapping[str, Any]) -> list[str]:
    if moved := facts.get("moves"):
        return [
            f"Drawn again from an older map: its {moved['points']:,} points moved by "
            f"{moved['median']:.3f} (median) and {moved['p95']:.3f} (95 %) of the map's radius, "
            "once turned and scaled onto it."
        ]
    if "placed" in facts:
        return [
            f"{facts['placed']:,} new rows were placed on a map of {facts['kept']:,} that did not "
            f"move; {facts['strange']:,} of them are less like the old rows than 99 % of those."
        ]
    return []


def _nearest(graph: MapFiles, usable: Array, count: int) -> tuple[Array, Array]:
    places = np.full((count, graph.array("neighbours").shape[1]), -1, np.int32)
    distances = np.full(places.shape, np.nan, np.float32)
    places[usable] = usable[graph.array("neighbours")]
    distances[usable] = graph.array("distances")
    return places, distances


def _trust_of(judged: MapFiles) -> Array | None:
    points = judged.table(POINTS)
    if "trustworthiness" not in points:
        return None
    return np.asarray(points["trustworthiness"].to_numpy(np.float32, na_value=np.nan))


def _columns(
    names: RowNames, drawn: MapFiles, judged: MapFiles, points: Array
) -> dict[str, Column]:
    told: dict[str, Column] = {
        name: categories(values)
        for name, values in names.texts.items()
        if len(set(values) - {None}) <= _MOST_WORDS and any(values)
    }
    told |= {name: Numbers(np.asarray(values)) for name, values in names.numbers.items()}
    if "is_new" in drawn.rows:
        told["old or new"] = categories(["new" if new else "old" for new in drawn.rows["is_new"]])
        told["in distribution"] = Numbers(drawn.rows["in_distribution"].to_numpy(np.float32))
    figures = judged.table(POINTS)
    for column, name in (("continuity", "continuity"), ("recall", "recall"), ("shift", "shift")):
        if column in figures:
            told[name] = Numbers(figures[column].to_numpy(np.float32, na_value=np.nan))
    if "cluster" not in told and len(points) > 1:
        labels = told.get("label")
        wanted = len(labels.names) if isinstance(labels, Categories) else 10
        found = clusters(points, min(wanted, 50))
        codes = np.full(len(names.ids), -1, np.int32)
        codes[drawn.usable] = found
        words = tuple(f"cluster {number + 1}" for number in range(int(found.max()) + 1))
        told["cluster"] = Categories(words, codes)
    return told


def categories(values: Sequence[str | None]) -> Categories:
    """Return `values` as names, sorted, and their places."""
    names = sorted({value for value in values if value is not None}, key=_natural)
    place = {name: at for at, name in enumerate(names)}
    codes = [-1 if value is None else place[value] for value in values]
    return Categories(tuple(names), np.array(codes, np.int32))


def _natural(word: str) -> tuple[int, float, str]:
    return (0, float(word), word) if word.isdecimal() and len(word) < 16 else (1, 0.0, word)
