"""`featuremill ls`: what the store holds."""

import argparse
import time
from dataclasses import asdict
from typing import Any

from conf.errors import did_you_mean
from flows.cli import DONE, print_json, runtime_of
from storage.catalog import Catalog, Entry
from storage.errors import UnknownArtifact
from storage.runs import RunRecord, Runs
from storage.store import ArtifactStore

HELP = "list the artifacts of the store, newest first, and drafts that wait to be finished"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kind to list."""
    parser.add_argument("kind", nargs="?", help="list only this kind, such as image-features")
    parser.add_argument(
        "--runs", action="store_true", help="list runs instead, and what came of them"
    )


def run(given: argparse.Namespace) -> int:
    """Print what is published and what is in the making."""
    from conf.units import size
    from tasks.pages.tables import as_text

    store = ArtifactStore(runtime_of(given).store, create=False)
    if given.runs:
        return _list_runs(Runs(store.path), as_json=given.json)
    entries = _of_kind(given.kind, Catalog(store).entries())
    names: dict[str, list[str]] = {}
    for name, key in store.refs.all().items():
        names.setdefault(key, []).append(name)
    drafts = [(str(d.key), len(d.sealed()), len(d.part_rows)) for d in store.drafts()]
    if given.json:
        artifacts = [_as_json(entry) | {"refs": names.get(entry.key, [])} for entry in entries]
        waiting = [dict(zip(("key", "sealed_parts", "parts"), d, strict=True)) for d in drafts]
        print_json({"artifacts": artifacts, "drafts": waiting})
        return DONE
    header = ("key", "rows", "size", "seconds", "published", "names")
    rows = [
        (
            entry.key,
            f"{entry.held_rows:,}",
            size(entry.size_bytes),
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


def _as_json(entry: Entry) -> dict[str, Any]:
    shown = ("key", "kind", "size_bytes", "at", "seconds")
    return {name: getattr(entry, name) for name in shown} | {"rows": entry.held_rows}


def _list_runs(runs: Runs, *, as_json: bool) -> int:
    from tasks.pages.tables import as_text

    found = [(record, runs.outcome(record)) for record in runs.all()]
    if as_json:
        print_json([asdict(record) | {"outcome": outcome} for record, outcome in found])
        return DONE
    header = ("run", "began", "came to", "made", "reused", "seconds")
    rows = [
        (record.name, _clock(record.began), outcome, *_counts(record)) for record, outcome in found
    ]
    print(as_text(header, rows) if rows else "No run is on record. Try: featuremill run demo")
    if any(outcome == "interrupted" for _, outcome in found):
        print("To go on with the last that was interrupted: featuremill resume")
    return DONE


def _counts(record: RunRecord) -> tuple[str, str, str]:
    if record.ended is None:
        return "", "", ""
    reused = sum(made["state"] == "Cached" for made in record.artifacts)
    made = len(record.artifacts) - reused
    return str(made), str(reused), f"{record.ended - record.began:.1f}"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _of_kind(kind: str | None, entries: list[Entry]) -> list[Entry]:
    kinds = {entry.kind for entry in entries}
    if kind and entries and kind not in kinds:
        raise UnknownArtifact(f"No {kind!r} is published. {did_you_mean(kind, kinds)}")
    return [entry for entry in entries if kind in {None, entry.kind}]
