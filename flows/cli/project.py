"""`featuremill project [ACTION]`: maps of a cache folder, of a file of vectors, or of features."""

import argparse
import importlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.errors import RecipeError
from conf.load import validate
from conf.projection import Preset
from flows.cli import DONE, print_json, runtime_of
from flows.cli.run import as_json, first_interrupt_stops, print_report
from flows.server import prefect_server
from storage.projection.outputs import refuse_existing

if TYPE_CHECKING:
    from flows.run import Run

HELP = "maps of embeddings that say how far to believe them; old maps that grow; cache folders"

_ACTIONS = {
    "map": "draw maps (the default)",
    "extend": "place new rows on the map --parent, of which no point moves",
    "refit": "draw the map --parent again, from where its points are",
    "cache": "write features of --artifact as a cache folder",
}
_METHODS = ("pca", "umap", "tsne", "pacmap", "localmap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, the vectors, the methods and where outputs go; names of several words may be
    joined by "_" or "-"."""
    told = "; ".join(f"{action}: {what}" for action, what in _ACTIONS.items())
    parser.add_argument("action", nargs="?", default="map", choices=_ACTIONS, help=told)
    _add_vectors(parser)
    for method in _METHODS:
        parser.add_argument(f"--{method}", action="store_true", help=f"draw a map by {method}")
    _add(parser, "pca-dim", type=int, help="components to work on; 0: the vectors (default: 50)")
    parser.add_argument("--unit", action="store_true", help="compare directions, not lengths")
    parser.add_argument("--seed", type=int, default=0, help="of the map (default: 0)")
    parser.add_argument("--seeds", type=int, help="maps to compare for stability (default: 1)")
    parser.add_argument("--neighbours", type=int, help="of UMAP, PaCMAP and LocalMAP")
    _add(parser, "min-dist", type=float, help="of UMAP (default: 0.1)")
    parser.add_argument("--perplexity", type=float, help="of t-SNE (default: 30)")
    parser.add_argument("--anchors", type=int, help="points that trust looks at (default: 2000)")
    parser.add_argument("--parent", help="extend, refit: the older map's coordinates")
    parser.add_argument("--out", help="where outputs go (default: beside the vectors)")
    _add(parser, "out-prefix", default="vis", help="first word of the outputs (default: vis)")
    parser.add_argument("--overwrite", action="store_true", help="write over outputs that exist")
    parser.add_argument("--title", help="of the page")
    _add(parser, "atlas-limit-mb", type=float, help="room for thumbnails in the page (default: 24)")
    columns = "labels and scores in the store, by key or name, to colour points by"
    parser.add_argument("--columns", nargs="+", default=[], metavar="ARTIFACT", help=columns)
    parser.add_argument("--verbose", action="store_true", help="show Prefect's log")
    _add_cache(parser)


def _add(parser: argparse.ArgumentParser, name: str, **given: Any) -> None:
    parser.add_argument(f"--{name.replace('-', '_')}", f"--{name}", **given)


def _add_vectors(parser: argparse.ArgumentParser) -> None:
    _add(parser, "cache-dir", help="a folder with embeddings.pt and metadata.csv")
    parser.add_argument("--vectors", help="a .npy, .pt or .parquet file of vectors")
    parser.add_argument("--column", help="of a Parquet file: the column of vectors")
    parser.add_argument("--names", help="with --vectors: a CSV or Parquet table of their rows")
    parser.add_argument("--artifact", help="features in the store, by key or name")
    parser.add_argument("--images", help="the folder that file names start in, for thumbnails")


def _add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--into", default="feat_cache_vis", help="cache: the folder of caches")
    parser.add_argument("--dataset", help="cache: what the dataset is called in the folder's name")
    parser.add_argument("--split", help="cache: the split (default: all rows, as split `all`)")


def run(given: argparse.Namespace) -> int:
    """Draw, extend or refit maps, or write a cache folder."""
    if given.action == "cache":
        return _cache(given)
    preset = validate(Preset, _preset(given), "featuremill project")
    runtime = runtime_of(given)
    if preset.growth is None:  # told at once: no server has to start for it
        refuse_existing(preset, preset.map.methods)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if given.verbose else "CRITICAL")
    began = time.perf_counter()
    with first_interrupt_stops(), prefect_server():
        made: Run = importlib.import_module("flows.projection").FLOW(preset, runtime)
    seconds = time.perf_counter() - began
    if given.json:
        print_json(as_json(made, seconds))
    else:
        print_report(made, seconds)
    return DONE


def _preset(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the flags say, as a preset would."""
    grows = given.action in ("extend", "refit")
    if grows != (given.parent is not None):
        raise RecipeError(
            f"project {given.action} needs --parent, the older map."
            if grows
            else "--parent belongs to `project extend` and `project refit`."
        )
    maps = {"methods": _methods(given), "unit": given.unit, "seed": given.seed}
    if given.pca_dim is not None:
        maps["pca_dim"] = given.pca_dim or None
    content: dict[str, Any] = {
        "vectors": _vectors(given),
        "map": maps,
        "trust": _said(seeds=given.seeds, anchors=given.anchors),
        "page": _said(
            title=given.title,
            columns=given.columns or None,
            atlas_limit_bytes=None
            if given.atlas_limit_mb is None
            else int(given.atlas_limit_mb * 1e6),
        ),
        "out_prefix": given.out_prefix,
        "overwrite": given.overwrite,
        **_said(out=given.out),
    }
    return content | ({"growth": {"how": given.action, "parent": given.parent}} if grows else {})


def _said(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _vectors(given: argparse.Namespace) -> dict[str, Any]:
    named = _said(cache_dir=given.cache_dir, vectors=given.vectors, artifact=given.artifact)
    if len(named) != 1:
        raise RecipeError(
            "project needs one of --cache_dir (a folder with embeddings.pt), --vectors (a .npy, "
            ".pt or .parquet file) and --artifact (features in the store); got "
            f"{len(named)} of them."
        )
    if given.cache_dir and not Path(given.cache_dir).expanduser().is_dir():
        raise RecipeError(
            f"There is no folder {given.cache_dir}. --cache_dir is a folder with embeddings.pt and "
            "metadata.csv; a file of vectors is named by --vectors."
        )
    path = given.cache_dir or given.vectors
    more = _said(column=given.column, names=given.names, images=given.images)
    return {**_said(path=path, artifact=given.artifact), **more}


def _methods(given: argparse.Namespace) -> list[dict[str, Any]]:
    asked = [method for method in _METHODS if getattr(given, method)] or ["umap"]
    of = {
        "umap": _said(neighbours=given.neighbours, min_dist=given.min_dist),
        "tsne": _said(perplexity=given.perplexity),
        "pacmap": _said(neighbours=given.neighbours),
        "localmap": _said(neighbours=given.neighbours),
    }
    return [{"method": method, **of.get(method, {})} for method in asked]


def _cache(given: argparse.Namespace) -> int:
    from tasks.projection.cache import write_cache

    if given.artifact is None:
        raise RecipeError("project cache needs --artifact: features in the store, by key or name.")
    folder = write_cache(
        given.artifact,
        Path(given.into).expanduser(),
        runtime_of(given),
        dataset=given.dataset,
        split=given.split,
        seed=given.seed,
        overwrite=given.overwrite,
    )
    if given.json:
        print_json({"folder": str(folder)})
    else:
        print(f"The cache is in {folder}")
    return DONE
