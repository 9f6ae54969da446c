"""`featuremill verify`: every byte of the store, hashed again."""

import argparse
from dataclasses import asdict

from flows.cli import DAMAGED, DONE, print_json, runtime_of
from storage.store import ArtifactStore
from storage.verify import verify

HELP = "hash every published and sealed file again; quarantine what is damaged"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: verification is of the whole store."""


def run(given: argparse.Namespace) -> int:
    """Print what is damaged; the exit code is 3 when anything is."""
    store = ArtifactStore(runtime_of(given).store, create=False)
    findings = list(verify(store))
    bad = [finding for finding in findings if not finding.is_whole]
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
    return DAMAGED if bad else DONE
