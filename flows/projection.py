"""Maps: vectors, their components and neighbours, coordinates, how far to believe them, a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from conf.dataset import DatasetRecipe, SourceSpec
from conf.diagnostics import DiagnosticsRecipe
from conf.errors import RecipeError
from conf.images import Preset as ImagePreset
from conf.keys import ArtifactKey
from conf.load import load_preset
from conf.projection import (
    ExtensionRecipe,
    GraphRecipe,
    MapRecipe,
    Method,
    PageRecipe,
    PcaRecipe,
    Preset,
    TrustRecipe,
    VectorSource,
)
from conf.runtime import Runtime
from flows.images import make_encoded
from flows.run import Run, Table, run_name
from storage.drafts import Making
from storage.hashes import Hashes
from storage.projection import MapFiles
from storage.projection.columns import check_joins
from storage.projection.maps import open_page
from storage.projection.outputs import (
    output_folder,
    output_paths,
    refuse_existing,
    write_outputs,
)
from storage.projection.pictures import pictures_key
from storage.projection.sources import source_on_record
from storage.store import Artifact
from tasks.compute.projection.embed import neighbours_wanted
from tasks.compute.projection.trust import TrustSummary
from tasks.declaring import flow
from tasks.diagnostics import make_diagnostics
from tasks.models.identity import installed
from tasks.projection.making import (
    extend_map,
    judge_map,
    make_components,
    make_graph,
    make_map,
    map_inputs,
    trust_inputs,
)
from tasks.projection.page import make_page, page_inputs
from tasks.projection.vectors import OF_CONTENTS, names_key, picture_names, vectors_key

_PACKAGES = {
    "umap": ("umap-learn", "maps"),
    "tsne": ("openTSNE", "maps"),
    "pacmap": ("pacmap", "pacmap"),
    "localmap": ("pacmap", "pacmap"),
}


@dataclass(frozen=True)
class Given:
    """What maps are made of."""

    source: VectorSource
    vectors: ArtifactKey
    names: ArtifactKey
    images: SourceSpec | None = None
    """Where the pictures of a dataset are read."""
    columns: tuple[Artifact, ...] = ()
    """What points can be coloured by, too."""


class Older(NamedTuple):
    """A map that others are made of, and how it was made."""

    coordinates: Artifact
    """As it was named: an extension perhaps."""
    base: Artifact
    """The map that an extension was placed on; else the same."""
    pca: Artifact
    recipe: MapRecipe
    components: PcaRecipe


@dataclass(frozen=True)
class Work:
    """The maps of a run, and what they share: made once, when the first of them wants it."""

    run: Run
    preset: Preset
    given: Given
    older: Older | None
    prefix: str

    @property
    def wanted(self) -> PcaRecipe:
        """The components that methods work on: those of an older map, where there is one."""
        maps = self.preset.map
        return self.older.components if self.older else PcaRecipe(dims=maps.pca_dim, unit=maps.unit)

    @cached_property
    def components(self) -> Artifact:
        """What methods work on."""
        given = self.given
        return self.run.make(
            f"{self.prefix}components",
            Making(self.wanted, {"vectors": given.vectors}, ("components",)),
            make_components, given.vectors, source=given.source,
        )  # fmt: skip

    @cached_property
    def nearest(self) -> Artifact:
        """The neighbours that pages show, in the space of the vectors."""
        given, many = self.given, self.preset.page.nearest
        graph = GraphRecipe(neighbours=many, space="vectors", unit=self.wanted.unit)
        return self.run.make(
            f"{self.prefix}nearest", Making(graph, {"vectors": given.vectors}, ("graph",)),
            make_graph, given.vectors, None, source=given.source,
        )  # fmt: skip

    @cached_property
    def diagnostics(self) -> Artifact | None:
        """What the vectors themselves know of their labels."""
        if not self.preset.page.diagnostics:
            return None
        given, recipe = self.given, DiagnosticsRecipe(unit=self.wanted.unit)
        inputs = {"vectors": given.vectors, "names": given.names}
        return self.run.make(
            f"{self.prefix}diagnostics", Making(recipe, inputs, ("diagnostics",)),
            make_diagnostics, given.vectors, given.names, source=given.source,
        )  # fmt: skip


@flow(name="projection", flow_run_name=run_name("projection"))
def projection(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Make the maps of `preset`, judge them, and render their pages."""
    run = Run("projection", runtime or Runtime())
    make_maps(run, preset)
    return run.close()


def make_maps(run: Run, preset: Preset, prefix: str = "") -> list[Artifact]:
    """Return the coordinates of the maps that `preset` asks for, each with trust and page."""
    older = _older(run, preset)
    methods = (older.recipe.settings,) if older else preset.map.methods
    refuse_existing(preset, methods)
    for settings in methods:
        _library(settings)  # a missing package is told before anything is made
    columns = _columns(run, preset)
    given = replace(_given(run, preset, prefix), columns=columns)
    if columns and not _tells_contents(given):
        raise RecipeError(
            f"page.columns are joined by the content of images, which {_title(given, 'these')} do "
            "not tell: map features by --artifact, or leave --columns out."
        )
    work = Work(run, preset, given, older, prefix)
    if older and preset.growth and preset.growth.how == "extend":
        return [_extend(work, older)]
    return [_map(work, settings) for settings in methods]


def _given(run: Run, preset: Preset, prefix: str) -> Given:
    if preset.source and preset.model:
        settings = ImagePreset(source=preset.source, model=preset.model)
        ledger, features = make_encoded(run, settings, prefix)
        source = VectorSource(artifact=features.key)
        return Given(source, run.store.key_of(features), ledger.recipe.key(), preset.source)
    if preset.vectors is None:
        raise RecipeError("no vectors are named: set vectors.path or vectors.artifact.")
    source, vectors = preset.vectors, vectors_key(preset.vectors, run.runtime)
    if source.artifact:
        source = source.model_copy(update={"artifact": str(vectors)})
    names = names_key(source, vectors, run.runtime)
    known = source.artifact and names.kind == DatasetRecipe.kind
    images = source_on_record(names, run.runtime) if known else None
    return Given(source, vectors, names, images)


def _columns(run: Run, preset: Preset) -> tuple[Artifact, ...]:
    """Return the artifacts to colour by: the same ones in any order are the same page."""
    found = {one.key: one for one in map(run.store.resolve, preset.page.columns)}
    columns = tuple(found[key] for key in sorted(found))
    check_joins(columns)
    return columns


def _tells_contents(given: Given) -> bool:
    return given.source.artifact is not None and given.vectors.kind in OF_CONTENTS


def _older(run: Run, preset: Preset) -> Older | None:
    """Return the map that this one grows from."""
    if preset.growth is None:
        return None
    named = run.store.resolve(preset.growth.parent)
    if named.kind not in (MapRecipe.kind, ExtensionRecipe.kind):
        raise RecipeError(
            f"{named.key} is no map. An older map is named by its coordinates: `featuremill ls "
            f"{MapRecipe.kind}` lists them."
        )
    base = named
    if named.kind == ExtensionRecipe.kind:
        base = run.store.resolve(run.store.manifest(named.key).inputs["parent"])
    manifest = run.store.manifest(base.key)
    pca = run.store.resolve(manifest.inputs["pca"])
    components = PcaRecipe.model_validate(run.store.manifest(pca.key).recipe)
    return Older(named, base, pca, MapRecipe.model_validate(manifest.recipe), components)


def _library(settings: Method) -> str | None:
    package = _PACKAGES.get(settings.method)
    return installed([package[0]], extra=package[1]) if package else None


def _map(work: Work, settings: Method) -> Artifact:
    run, pca, older, method = work.run, work.components, work.older, settings.method
    graph = _graph(work, pca, settings)
    parent = older.coordinates if older else None
    recipe = MapRecipe(settings=settings, library=_library(settings), seed=work.preset.map.seed)
    inputs = map_inputs(run.store, pca, graph, parent)

    def drawn(seed: int, name: str) -> Artifact:
        seeded = recipe.model_copy(update={"seed": recipe.seed + seed})
        making = Making(seeded, inputs, ("map",))
        return run.make(f"{work.prefix}{name}", making, make_map, pca, graph, parent)

    coordinates = drawn(0, method)
    seeds = range(1, 1 if method == "pca" or older else work.preset.trust.seeds)
    _finish(
        work, coordinates, tuple(drawn(seed, f"{method}-seed-{seed}") for seed in seeds), method
    )
    return coordinates


def _graph(work: Work, pca: Artifact, settings: Method) -> Artifact | None:
    wanted = neighbours_wanted(settings.method, settings)
    if not wanted:
        return None
    run, given = work.run, work.given
    making = Making(GraphRecipe(neighbours=wanted), {"pca": run.store.key_of(pca)}, ("graph",))
    name = f"{work.prefix}{settings.method}-graph"
    return run.make(name, making, make_graph, given.vectors, pca, source=given.source)


def _extend(work: Work, older: Older) -> Artifact:
    run, given, base = work.run, work.given, older.base
    keys = {"parent": run.store.key_of(base), "pca": run.store.key_of(older.pca)}
    making = Making(ExtensionRecipe(), {"vectors": given.vectors, **keys}, ("map",))
    method = older.recipe.settings.method
    coordinates = run.make(
        f"{work.prefix}{method}-extended", making, extend_map, given.vectors, base, older.pca,
        source=given.source, unit=work.wanted.unit,
    )  # fmt: skip
    _finish(work, coordinates, (), method)
    return coordinates


def _finish(work: Work, coordinates: Artifact, others: tuple[Artifact, ...], method: str) -> None:
    """Judge a map, render its page, write what goes beside the vectors, and show the figures."""
    run, preset, given = work.run, work.preset, work.given
    judging = TrustRecipe(
        neighbours=preset.trust.neighbours, anchors=preset.trust.anchors, unit=work.wanted.unit
    )
    inputs = trust_inputs(run.store, given.vectors, coordinates, others)
    trust = run.make(
        f"{work.prefix}{method}-trust", Making(judging, inputs, ("trust",)),
        judge_map, given.vectors, coordinates, others, source=given.source,
    )  # fmt: skip
    page = _page(work, coordinates, trust, method)
    folder = output_folder(preset)
    if folder:
        run.act(lambda: _write(run, coordinates, page, folder, preset.out_prefix, method))
    run.show(lambda: _figures(run, method, trust, page, folder, preset.out_prefix))


def _page(work: Work, coordinates: Artifact, trust: Artifact, method: str) -> Artifact:
    run, settings, given = work.run, work.preset.page, work.given
    nearest, found = work.nearest, work.diagnostics
    keys = {"vectors": given.vectors, "names": given.names, **_pictures(run, given)}
    recipe = PageRecipe(
        title=settings.title or _title(given, run.name),
        atlas_limit_bytes=settings.atlas_limit_bytes,
    )
    inputs = page_inputs(run.store, keys, coordinates, trust, nearest, found, columns=given.columns)
    return run.make(
        f"{work.prefix}{method}-page", Making(recipe, inputs, ("page",)),
        make_page, keys, coordinates, trust, nearest, found, source=given.source,
        unit=work.wanted.unit, images=given.images, columns=given.columns,
    )  # fmt: skip


def _pictures(run: Run, given: Given) -> dict[str, ArtifactKey]:
    """Return the key of the pictures that the page shows: a page without them is another."""
    if given.images:
        return {"pictures": given.names}
    if given.source.images is None or given.source.path is None:
        return {}
    names = picture_names(given.source)
    with Hashes(run.runtime.store / "hashes.sqlite") as hashes:
        key = pictures_key(given.source.images, names, run.runtime.roots, hashes)
    return {"pictures": key}


def _title(given: Given, name: str) -> str:
    """Return what the map is of: the last words of the vectors' path, else the run's name."""
    path = given.source.path
    if path is None:
        return name
    return "/".join(path.parts[-3:]) if path.is_dir() else path.name


def _write(
    run: Run, coordinates: Artifact, page: Artifact, folder: Path, prefix: str, method: str
) -> None:
    drawn, rendered = MapFiles(run.store, coordinates), MapFiles(run.store, page)
    write_outputs(drawn, rendered, folder, prefix, method)


def _figures(
    run: Run, method: str, trust: Artifact, page: Artifact, folder: Path | None, prefix: str
) -> Table:
    facts = MapFiles(run.store, trust).facts
    where = output_paths(folder, prefix, method)[1] if folder else open_page(run.store, page)
    rows: Sequence[tuple[str, ...]] = [("judged", str(facts.get("reason")))]
    if "trustworthiness" in facts:
        rows = list(TrustSummary.from_json(facts).shown().items())
    return Table(f"Map by {method}: {where}", ("figure", "value"), rows)


def demo_step(run: Run) -> None:
    """Map the handwritten digits."""
    preset = load_preset("digits_map").settings
    make_maps(run, Preset.model_validate(preset), "digit-")


FLOW = projection
