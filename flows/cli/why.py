"""`featuremill why KEY`: how an artifact differs from its nearest relative, field by field."""

import argparse

from flows.cli import DONE, print_json, runtime_of
from storage.catalog import Catalog
from storage.relatives import explain, identity_of, nearest_relative
from storage.store import ArtifactStore

HELP = "say in which fields an artifact differs from its nearest relative, and why its inputs do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the artifact and what to compare it with."""
    parser.add_argument("key", help="a key, the start of one, or a name such as demo/photo-labels")
    parser.add_argument("than", nargs="?", help="another artifact; by default the nearest relative")


def run(given: argparse.Namespace) -> int:
    """Print a line for each field that differs; those of inputs are indented."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    catalog = Catalog(store, look_once=True)
    artifact = store.resolve(given.key)
    than = store.resolve(given.than).key if given.than else _nearest(catalog, artifact.key)
    lines = explain(catalog, artifact.key, than) if than else []
    if given.json:
        print_json({"key": artifact.key, "than": than, "differences": lines})
    elif than is None:
        print(f"{artifact.key} is the only {artifact.kind} in {store.path}.")
    else:
        print(f"{artifact.key} is not {than} in:")
        print("\n".join(f"  {line}" for line in lines) or "  nothing: they are the same")
    return DONE


def _nearest(catalog: Catalog, key: str) -> str | None:
    entry = next(entry for entry in catalog.entries() if entry.key == key)
    found = nearest_relative(catalog, identity_of(entry), but=[key])
    return found.key if found else None
