"""The catalog: one SQLite table of what is published. Derived from manifests and refs, rebuilt at
will."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from conf.keys import ArtifactKey, held_rows
from storage.errors import DamagedArtifact
from storage.manifest import Manifest
from storage.store import ArtifactStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS artifacts (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    at TEXT NOT NULL, seconds REAL NOT NULL, family TEXT NOT NULL, recipe TEXT NOT NULL,
    inputs TEXT NOT NULL, made TEXT NOT NULL, manifest_mtime_ns INTEGER NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class Entry:
    """One published artifact, as the catalog knows it."""

    key: str
    kind: str
    rows: int
    """Units of work."""
    size_bytes: int
    at: str
    """When it was published, UTC."""
    seconds: float
    """How long its parts took, together."""
    family: str
    _recipe: str
    _inputs: str
    _made: str
    """JSON, these three: parsed only of an artifact that somebody looks into."""

    @cached_property
    def recipe(self) -> Mapping[str, Any]:
        """What made it, field by field."""
        return dict(json.loads(self._recipe))

    @cached_property
    def inputs(self) -> Mapping[str, str]:
        """The keys of what it was made of, by name."""
        return dict(json.loads(self._inputs))

    @cached_property
    def made(self) -> Mapping[str, Any]:
        """How it came about: system, devices, versions."""
        return dict(json.loads(self._made))

    @property
    def held_rows(self) -> int:
        """The rows that people count; see `conf.keys.held_rows`."""
        return held_rows(self.recipe, self.rows)


_COLUMNS = "key, kind, rows, bytes, at, seconds, family, recipe, inputs, made"


class Catalog:
    """The catalog of `store`; every read first takes up what was published or went away.

    With `look_once` only the first does: for who asks often, and wants one state of the store.
    """

    def __init__(self, store: ArtifactStore, *, look_once: bool = False) -> None:
        self.store = store
        self.path: Path = store.path / "catalog.sqlite"
        self._looks_once = look_once

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return what is published, of one kind or of all, newest first."""
        if self._looks_once:
            return [entry for entry in self._seen if kind in {None, entry.kind}]
        return self._read(kind)

    @cached_property
    def _seen(self) -> list[Entry]:
        return self._read(None)

    def _read(self, kind: str | None) -> list[Entry]:
        with closing(self._open()) as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM artifacts WHERE ?1 IS NULL OR kind = ?1 "
                "ORDER BY at DESC, key",
                [kind],
            )
            return [Entry(*row) for row in rows]

    def family(self, kind: str, family: str) -> list[ArtifactKey]:
        """Return the keys of the published artifacts of `kind` that share rows with `family`."""
        found = (entry.key for entry in self.entries(kind) if entry.family == family)
        return sorted(map(ArtifactKey.parse, found))

    def _open(self) -> sqlite3.Connection:
        """Return the database, up to date; in memory where the store cannot be written."""
        try:
            return self._updated(sqlite3.connect(self.path, timeout=30))
        except sqlite3.OperationalError:  # a read-only disk: it can still be looked at
            return self._updated(sqlite3.connect(":memory:"))
        except sqlite3.DatabaseError:  # damaged, and worth nothing: the manifests know it all
            self.path.unlink(missing_ok=True)
            return self._updated(sqlite3.connect(self.path, timeout=30))

    def _updated(self, database: sqlite3.Connection) -> sqlite3.Connection:
        try:
            with database:
                database.execute(_SCHEMA)
                known = dict(database.execute("SELECT key, manifest_mtime_ns FROM artifacts"))
                present = {str(key): when for key, when in self.store.manifest_times().items()}
                gone = [(key,) for key in known if key not in present]
                database.executemany("DELETE FROM artifacts WHERE key = ?", gone)
                new = sorted(key for key, when in present.items() if known.get(key) != when)
                rows = ((*row, present[str(row[0])]) for row in self._rows(new))
                marks = ",".join("?" * 11)
                database.executemany(f"INSERT OR REPLACE INTO artifacts VALUES ({marks})", rows)
        except BaseException:
            database.close()
            raise
        return database

    def _rows(self, keys: Sequence[str]) -> Iterator[tuple[str | int | float, ...]]:
        for key in keys:
            with suppress(DamagedArtifact):  # `verify` says so; a list goes on without it
                manifest = Manifest.read(self.store.folder(key))
                if manifest:
                    yield _row(manifest)


def _row(manifest: Manifest) -> tuple[str | int | float, ...]:
    made = manifest.made
    return (
        manifest.key,
        ArtifactKey.parse(manifest.key).kind,
        manifest.rows,
        manifest.size_bytes,
        made["at"],
        made["part_seconds"],
        manifest.family,
        json.dumps(manifest.recipe),
        json.dumps(manifest.inputs),
        json.dumps(made),
    )
