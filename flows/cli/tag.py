"""`featuremill tag KEY NAME`: names for artifacts; what is named is never collected."""

import argparse

from conf.errors import RecipeError
from flows.cli import DONE, print_json, runtime_of
from storage.store import ArtifactStore

HELP = "give an artifact a name of your own, which `gc` respects; list or remove names"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the artifact, its name, and --remove."""
    parser.add_argument("key", nargs="?", help="a key, the start of one, or a name it has")
    parser.add_argument("name", nargs="?", help="the new name, such as paper/figure-2")
    parser.add_argument("--remove", metavar="NAME", help="forget a name; the artifact stays")


def run(given: argparse.Namespace) -> int:
    """Set, remove or list names."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    if given.key and not given.name:
        raise RecipeError(
            f"tag {given.key} lacks the name to give. Write: featuremill tag {given.key} NAME"
        )
    if given.remove or given.key:
        store.check_writable()
    if given.remove:
        store.refs.remove(given.remove)
    if given.key:
        store.refs.set(given.name, store.resolve(given.key).key)
    names = store.refs.all()
    if given.json:
        print_json(names)
    elif given.key:
        print(f"{given.name} means {names[given.name]}")
    elif given.remove:
        print(f"{given.remove} is no name any more.")
    else:
        for name, key in names.items():
            print(f"{name}  {key}")
    return DONE
