"""`featuremill accept KEY`: a raised version that does not touch this artifact, declared so."""

import argparse
from dataclasses import asdict

from flows.cli import DONE, print_json, runtime_of
from storage.accepting import accept, accepted
from storage.store import ArtifactStore

HELP = "declare an artifact of an older version equivalent to one of the present; keep it on record"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the artifact and the reason."""
    parser.add_argument(
        "key", nargs="?", help="the older artifact; without one, list what was accepted"
    )
    parser.add_argument("--because", default="", help="why it is as good, for those who ask later")


def run(given: argparse.Namespace) -> int:
    """Publish an older artifact under its present key, or list what was accepted."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    if not given.key:
        found = accepted(store)
        if given.json:
            print_json([asdict(one) for one in found])
            return DONE
        for one in found:
            print(f"{one.key} is {one.instead}, since {one.at}: {one.because or 'no reason given'}")
        if not found:
            print(f"Nothing was accepted in {store.path}.")
        return DONE
    older = store.resolve(given.key)
    artifact = accept(store, older, given.because)
    if given.json:
        print_json({"key": artifact.key, "instead": older.key, "because": given.because})
    else:
        print(f"{older.key} is accepted as {artifact.key}: a run reuses it from now on.")
        print("What was made of it has its own key: accept that, too, or let a run make it anew.")
    return DONE
