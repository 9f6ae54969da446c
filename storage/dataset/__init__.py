"""Datasets as ledgers: `scan` makes one of a source, `ContentReader` reads what it lists."""

import importlib
from pathlib import Path
from typing import cast

from conf.dataset import SourceSpec
from storage.dataset.changes import ledger_changes
from storage.dataset.content import ContentChanged, ContentGone, ContentReader
from storage.dataset.ledger import (
    LEDGER,
    Ledger,
    LedgerDamaged,
    LedgerRow,
    read_ledger,
    write_ledger,
)
from storage.dataset.scanning import Progress, probe_name, scan
from storage.kinds import Kind
from storage.readers.protocol import Rows
from storage.store import Artifact, ArtifactStore

__all__ = [
    "KINDS",
    "LEDGER",
    "ContentChanged",
    "ContentGone",
    "ContentReader",
    "Ledger",
    "LedgerDamaged",
    "LedgerRow",
    "Progress",
    "open_rows",
    "probe_name",
    "read_ledger",
    "scan",
    "write_ledger",
]


def open_rows(spec: SourceSpec, roots: tuple[Path, ...] = ()) -> Rows:
    """Return the rows of a source, by the reader that bears its name.

    `roots` are the directories that links and tables may lead to, beside the source's own.
    Raises SourceMissing or SourceUnusable.
    """
    reader = importlib.import_module(f"storage.readers.{spec.source}")
    return cast(Rows, reader.open_source(spec, roots))


def _open(store: ArtifactStore, artifact: Artifact) -> Ledger:
    return read_ledger(store.path_of(artifact))


def _changes(old: Ledger, new: Ledger) -> str:
    return str(ledger_changes(old, new))


KINDS = (Kind("dataset", open=_open, changes=_changes),)
