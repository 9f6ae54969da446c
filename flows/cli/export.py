"""`featuremill export KEY --bundle PATH`: one artifact as one file, for those who have no store."""

import argparse
from pathlib import Path

from conf.errors import RecipeError
from flows.cli import DONE, print_json, runtime_of

HELP = "write one artifact as one self-contained file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the artifact and where its file goes."""
    parser.add_argument("key", help="a key, the start of one, or a name of a run")
    parser.add_argument("--bundle", required=True, metavar="PATH", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(given: argparse.Namespace) -> int:
    """Write the file, whole or not at all, and say where it is."""
    from conf.units import size
    from storage.kinds import find_kind
    from storage.store import ArtifactStore

    store = ArtifactStore(runtime_of(given).store, create=False)
    artifact = store.resolve(given.key)
    write = find_kind(artifact.kind).write_bundle
    path = Path(given.bundle).expanduser().absolute()
    if write is None:
        raise RecipeError(
            f"{artifact.kind} artifacts have no form in one file. What they consist of lies in "
            f"{store.path_of(artifact)}, in documented formats; copy that directory."
        )
    _refuse(path, replace=given.force)
    write(store, artifact, path)
    size_bytes = path.stat().st_size
    if given.json:
        print_json({"key": artifact.key, "path": str(path), "size_bytes": size_bytes})
    else:
        print(f"{artifact.key} is in {path} ({size(size_bytes)})")
    return DONE


def _refuse(path: Path, *, replace: bool) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise RecipeError(f"{path} cannot be a file: name one in a directory that exists.")
    if path.exists() and not replace:
        raise RecipeError(f"{path} is there already. Name another file, or add --force.")
