"""`featuremill verify`: every byte of the store, hashed again."""

import argparse
import sys
from dataclasses import asdict

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
    store = ArtifactStore(runtime_of(given).store, create=False)
    findings = list(verify(store))
    bad = [finding for finding in findings if not finding.is_whole]
    if given.repair and bad:
        return _repair(store, [one for one in bad if one.state == "damaged"], given)
    if given.json:
        print_json([asdict(finding) for finding in findings])
        return DAMAGED if bad else DONE
    for finding in bad:
        print(f"{finding.state}: {finding.name}: {finding.reason}")
    size = sum(finding.size_bytes for finding in findings) / 1e6
    whole = len(findings) - len(bad)
    print(f"{whole} of {len(findings)} artifacts are whole ({size:,.1f} MB hashed).")
    if any(finding.state == "damaged" for finding in bad):
        print(f"What is damaged was moved to {store.path / 'quarantine'}, with the reason.")
    if bad:
        print("Run the flows again: only what is damaged or gone is remade.")
        print("What runs on record made, `featuremill verify --repair` remakes.")
    return DAMAGED if bad else DONE


def _repair(store: ArtifactStore, damaged: list[Finding], given: argparse.Namespace) -> int:
    """Run again the newest run that made or reused each damaged artifact; verify once more."""
    from flows.cli.resume import execute_again

    for finding in damaged:
        print(f"damaged: {finding.name}: {finding.reason}", file=sys.stderr)
    makers = dict.fromkeys(
        run.id for finding in damaged if (run := Runs(store.path).maker_of(finding.name))
    )
    runs = {run.id: run for run in Runs(store.path).all()}
    for run_id in makers:
        execute_again(runs[run_id], given)
    lost = [one.name for one in damaged if not store.holds(one.name)]
    for name in lost:
        print(
            f"not remade: {name}. No run on record makes it; run its flow again.", file=sys.stderr
        )
    return DAMAGED if lost else DONE
