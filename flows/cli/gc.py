"""`featuremill gc`: what nothing needs any more, listed, and removed on request."""

import argparse
from dataclasses import asdict

from flows.cli import DONE, print_json, runtime_of
from storage.collecting import Garbage, collect, freed_bytes, garbage
from storage.store import ArtifactStore

HELP = "list what no name, recent run or draft needs; remove it with --delete"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is kept, and whether anything is removed."""
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--dry-run", action="store_true", help="only list it (the default)")
    choice.add_argument("--delete", action="store_true", help="remove what is listed")
    parser.add_argument(
        "--keep", type=int, default=3, metavar="N", help="keep the last N runs of each name (3)"
    )
    parser.add_argument(
        "--draft-days",
        type=float,
        default=14,
        metavar="DAYS",
        help="drafts that nothing was written to for so long are forgotten (14)",
    )


def run(given: argparse.Namespace) -> int:
    """Print what may go and how many bytes that frees; remove it with --delete."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    rules = {"keep_runs": given.keep, "draft_days": given.draft_days}
    found = garbage(store, **rules)
    size = freed_bytes(found)
    if given.delete:
        found = collect(store, **rules)
    if given.json:
        rows = [asdict(one) | {"path": str(one.path)} for one in found]
        print_json({"removed": given.delete, "freed_bytes": size, "garbage": rows})
    else:
        print(_told(found, size, is_removed=given.delete))
    return DONE


def _told(found: list[Garbage], size_bytes: int, *, is_removed: bool) -> str:
    from conf.units import size

    if not found:
        return "Everything in the store has a name, or is needed by a recent run or a draft."
    lines = [f"{one.what} {one.name}  {size(one.size_bytes)}  {one.why}" for one in found]
    freed = size(size_bytes)
    if is_removed:
        return "\n".join([*lines, f"{len(found)} removed, {freed} freed."])
    return "\n".join(
        [*lines, f"{len(found)} could go, {freed}. To remove them: featuremill gc --delete"]
    )
