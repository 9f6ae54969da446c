"""The catalog: one SQLite table of what is published. Derived from manifests and refs, rebuilt at
will."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conf.keys import ArtifactKey
from storage.errors import DamagedArtifact
from storage.manifest import Manifest
from storage.store import ArtifactStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS artifacts (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    at TEXT NOT NULL, seconds REAL NOT NULL, family TEXT NOT NULL, recipe TEXT NOT NULL,
    inputs TEXT NOT NULL, made TEXT NOT NULL
) STRICT
"""


@dataclass(frozen=True)
class Entry:
    """One published artifact, as the catalog knows it."""

    key: str
    kind: str
    rows: int
    size_bytes: int
    at: str
    """When it was published, UTC."""
    seconds: float
    """How long its parts took, together."""


class Catalog:
    """The catalog of `store`; every read first takes up what was published or went away."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.path: Path = store.path / "catalog.sqlite"

    def entries(self) -> list[Entry]:
        """Return what is published, newest first."""
        with self._synchronised() as database:
            rows = database.execute(
                "SELECT key, kind, rows, bytes, at, seconds FROM artifacts ORDER BY at DESC, key"
            )
            return [Entry(*row) for row in rows]

    @contextmanager
    def _synchronised(self) -> Iterator[sqlite3.Connection]:
        try:
            database = self._open()
        except sqlite3.DatabaseError:  # damaged, and worth nothing: the manifests know it all
            self.path.unlink(missing_ok=True)
            database = self._open()
        with closing(database):
            yield database

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=30)
        try:
            with database:
                database.execute(_SCHEMA)
                known = {key for (key,) in database.execute("SELECT key FROM artifacts")}
                present = {str(key) for key in self.store.published()}
                gone = [(key,) for key in known - present]
                database.executemany("DELETE FROM artifacts WHERE key = ?", gone)
                values = self._rows(sorted(present - known))
                marks = ",".join("?" * 10)
                database.executemany(f"INSERT OR REPLACE INTO artifacts VALUES ({marks})", values)
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
