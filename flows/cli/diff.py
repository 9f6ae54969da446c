"""`featuremill diff A B`: two artifacts of one kind: recipes, rows, and how far values moved."""

import argparse
from dataclasses import asdict

from flows.cli import DONE, print_json, runtime_of
from storage.comparing import compare
from storage.kinds import find_kind
from storage.store import ArtifactStore

HELP = "compare two artifacts of one kind: recipes, rows, and how far features or scores moved"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two artifacts."""
    parser.add_argument("old", metavar="A", help="a key, the start of one, or a name")
    parser.add_argument("new", metavar="B", help="another of the same kind")


def run(given: argparse.Namespace) -> int:
    """Print how B differs from A."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    old, new = store.resolve(given.old), store.resolve(given.new)
    found = compare(store, old, new)
    if given.json:
        print_json({"old": old.key, "new": new.key} | asdict(found))
        return DONE
    print(f"{old.key}\n{new.key}")
    fields = [line for line in found.fields if not line.startswith("rows: ")]  # in full below
    for line in fields or ["the same recipe"]:
        print(f"  {line}")
    if not find_kind(new.kind).changes:  # of a dataset the fields have told it
        print(
            f"  rows: {found.rows_added:,} new, {found.rows_gone:,} gone, "
            f"{found.rows_shared:,} in both"
        )
    for line in found.moved:
        print(f"  {line}")
    return DONE
