"""`featuremill ls`: what the store holds."""

import argparse
from dataclasses import asdict

from flows.cli import DONE, print_json, runtime_of
from storage.catalog import Catalog
from storage.store import ArtifactStore

HELP = "list the artifacts of the store, newest first, and drafts that wait to be finished"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kind to list."""
    parser.add_argument("kind", nargs="?", help="list only this kind, such as image-features")


def run(given: argparse.Namespace) -> int:
    """Print what is published and what is in the making."""
    from tasks.pages.tables import as_text

    store = ArtifactStore(runtime_of(given).store, create=False)
    entries = [e for e in Catalog(store).entries() if given.kind in {None, e.kind}]
    names: dict[str, list[str]] = {}
    for name, key in store.refs.all().items():
        names.setdefault(key, []).append(name)
    drafts = [(str(d.key), len(d.sealed()), len(d.part_rows)) for d in store.drafts()]
    if given.json:
        artifacts = [asdict(entry) | {"refs": names.get(entry.key, [])} for entry in entries]
        waiting = [dict(zip(("key", "sealed_parts", "parts"), d, strict=True)) for d in drafts]
        print_json({"artifacts": artifacts, "drafts": waiting})
        return DONE
    header = ("key", "rows", "size", "seconds", "published", "names")
    rows = [
        (
            entry.key,
            f"{entry.rows:,}",
            f"{entry.size_bytes / 1e6:,.1f} MB",
            f"{entry.seconds:.1f}",
            entry.at,
            ", ".join(names.get(entry.key, [])),
        )
        for entry in entries
    ]
    print(as_text(header, rows) if rows else "Nothing is published yet. Try: featuremill run demo")
    for key, sealed, parts in drafts:
        print(f"in the making: {key}, {sealed} of {parts} parts sealed")
    return DONE
