"""`featuremill verify`: every byte of the store, hashed again."""

import argparse
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

from conf.errors import RecipeError
from flows.cli import DAMAGED, DONE, print_json, runtime_of
from storage.runs import Runs
from storage.store import ArtifactStore
from storage.verify import Finding, verify

HELP = "hash every published and sealed file again; quarantine what is damaged"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --repair: verification is of the whole store."""
    parser.add_argument(
        "--repair",
        action="store_true",
        help="run again what made the damaged artifacts, with its settings; sound parts stay",
    )
    parser.add_argument("--verbose", action="store_true", help="show Prefect's log of a repair")


def run(given: argparse.Namespace) -> int:
    """Print what is damaged; the exit code is 3 when anything is."""
    from conf.units import size

    store = ArtifactStore(runtime_of(given).store, create=False)
    findings = list(verify(store))
    bad = [finding for finding in findings if not finding.is_whole]
    if given.repair and bad:
        return _repair(store, bad, given)
    if given.json:
        print_json([asdict(finding) for finding in findings])
        return DAMAGED if bad else DONE
    for finding in bad:
        print(f"{finding.state}: {finding.name}: {finding.reason}")
    hashed = size(sum(finding.size_bytes for finding in findings))
    artifacts = [finding for finding in findings if finding.state != "dangling"]
    whole = sum(finding.is_whole for finding in artifacts)
    print(f"{whole} of {len(artifacts)} artifacts are whole ({hashed} hashed).")
    if any(finding.state == "damaged" for finding in bad):
        print(f"What is damaged was moved to {store.path / 'quarantine'}, with the reason.")
    if bad:
        print("Run the flows again: only what is damaged or gone is remade.")
        print("What runs on record made, `featuremill verify --repair` remakes.")
    return DAMAGED if bad else DONE


def _repair(store: ArtifactStore, bad: list[Finding], given: argparse.Namespace) -> int:
    """Run again the newest run that made or reused each artifact that is damaged or gone."""
    from flows.cli.resume import execute_again

    for finding in bad:
        print(f"{finding.state}: {finding.name}: {finding.reason}", file=sys.stderr)
    runs, before = Runs(store.path), store.refs.all()
    found = (runs.maker_of(before.get(one.name, one.name)) for one in bad)
    for run in {run.id: run for run in found if run}.values():
        execute_again(run, store, given)
    _restore_names(store, before)
    now = store.refs.all()
    lost = [one.name for one in bad if not _is_there(store, now.get(one.name, one.name))]
    for name in lost:
        print(
            f"not remade: {name}. No run on record makes it; run its flow again.", file=sys.stderr
        )
    return DAMAGED if lost else DONE


def _restore_names(store: ArtifactStore, before: Mapping[str, str]) -> None:
    """Let every name mean what it meant: an older run, repaired last, took those of newer ones."""
    now = store.refs.all()
    for name, key in before.items():
        if now.get(name) != key and _is_there(store, key):
            store.refs.set(name, key)


def _is_there(store: ArtifactStore, key: str) -> bool:
    with suppress(RecipeError):  # no key: a part of a draft, or a name for nonsense
        return store.holds(key)
    return False
