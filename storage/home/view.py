"""One look at a store: its artifacts with their names, and how they belong together."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from conf.errors import RecipeError
from conf.keys import ArtifactKey
from storage.atomic import is_held
from storage.catalog import Catalog, Entry
from storage.manifest import Manifest
from storage.runs import RunRecord, Runs
from storage.store import ArtifactStore


@dataclass(frozen=True)
class Unfinished:
    """An artifact in the making."""

    key: str
    parts: int
    sealed: int
    rows: int
    is_driven: bool
    """Whether a process is at it now."""
    touched: float
    """When something was last written to it; seconds since 1970."""
    problem: str | None = None
    """Why its plan cannot be read."""


@dataclass(frozen=True)
class Quarantined:
    """Something that verification found damaged."""

    key: str
    reason: str
    at: float
    """Seconds since 1970."""
    path: str
    """Relative to the store."""


@dataclass(frozen=True)
class StoreView:
    """The artifacts of a store as they were at one moment, newest first."""

    store: ArtifactStore
    entries: Sequence[Entry]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each key's names: those of the newest runs first, then those that no run gave, sorted."""
    runs: Sequence[RunRecord] = ()
    """The runs on record, newest first."""

    @classmethod
    def of(cls, store: ArtifactStore) -> "StoreView":
        """Return what `store` holds now."""
        runs = Runs(store.path).all()
        given = (
            (f"{run.name}/{made['name']}", made["key"]) for run in runs for made in run.artifacts
        )
        names: dict[str, list[str]] = {}
        refs = store.refs.all()
        for name, key in (*given, *refs.items()):
            known = names.setdefault(key, [])
            if refs.get(name) == key and name not in known:
                known.append(name)
        return cls(store, Catalog(store).entries(), names, runs)

    @cached_property
    def by_key(self) -> dict[str, Entry]:
        """The artifacts by their keys."""
        return {entry.key: entry for entry in self.entries}

    def name(self, key: str) -> str:
        """Return the name that the newest run gave an artifact, or its key where it bears none."""
        return next(iter(self.names.get(key, ())), key)

    def manifest(self, key: str) -> Manifest:
        """Return the manifest of a published artifact; raises UnknownArtifact."""
        with suppress(RecipeError):
            return self.store.manifest(ArtifactKey.parse(key))
        raise self.store.unknown(key)

    def parents(self, entry: Entry) -> dict[str, str]:
        """Return what `entry` was made of, by the names of its inputs; published artifacts only.

        Features depend on a set of contents, which is no artifact: the dataset that told it stands
        for it.
        """
        found = {name: key for name, key in entry.inputs.items() if key in self.by_key}
        dataset = entry.made.get("dataset")
        if dataset in self.by_key and dataset not in found.values():
            found["dataset"] = dataset
        return found

    @cached_property
    def children(self) -> dict[str, list[Entry]]:
        """What was made of each artifact, newest first."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            for parent in dict.fromkeys(self.parents(entry).values()):
                found.setdefault(parent, []).append(entry)
        return found

    def concerning(self, *keys: str) -> list[Entry]:
        """Return the artifacts that one of `keys`, of artifacts or of contents, went into."""
        wanted, known = set(keys), dict[str, bool]()
        return [entry for entry in self.entries if self._comes_of(entry, wanted, known)]

    def _comes_of(self, entry: Entry, wanted: set[str], known: dict[str, bool]) -> bool:
        if entry.key not in known:
            known[entry.key] = False  # no key is made of itself; a forged manifest ends here
            inputs = entry.inputs.values()
            above = (self.by_key[key] for key in inputs if key in self.by_key)
            known[entry.key] = not wanted.isdisjoint(inputs) or any(
                self._comes_of(parent, wanted, known) for parent in above
            )
        return known[entry.key]

    # -- beside the artifacts --------------------------------------------------------------------

    def outcome(self, record: RunRecord) -> str:
        """Return what became of a run."""
        return Runs(self.store.path).outcome(record)

    def unfinished(self) -> list[Unfinished]:
        """Return the artifacts in the making, those that cannot be read last."""
        drafts = [
            Unfinished(
                key=str(draft.key),
                parts=len(draft.part_rows),
                sealed=len(draft.sealed()),
                rows=sum(map(len, draft.part_rows.values())),
                is_driven=is_held(self.store.lock_path(draft.key)),
                touched=_touched(draft.path),
            )
            for draft in self.store.drafts()
        ]
        broken = [
            Unfinished(path.name, 0, 0, 0, is_driven=False, touched=_touched(path), problem=why)
            for path, why in self.store.unreadable_drafts()
        ]
        return [*drafts, *broken]

    def quarantined(self) -> list[Quarantined]:
        """Return what lies in quarantine and why, the latest first."""
        found = [self._quarantined(path) for path in _cards(self.store.path / "quarantine")]
        return sorted(found, key=lambda one: one.at, reverse=True)

    def _quarantined(self, path: Path) -> Quarantined:
        import json

        told: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            read = json.loads(path.read_bytes())
            told = read if isinstance(read, dict) else {}
        return Quarantined(
            key=str(told.get("key", path.stem.rpartition(".")[0] or path.stem)),
            reason=str(told.get("reason", "nobody wrote down why")),
            at=_touched(path),
            path=path.with_suffix("").relative_to(self.store.path).as_posix(),
        )


def _cards(quarantine: Path) -> Iterator[Path]:
    return quarantine.glob("*/*.json")


def _touched(path: Path) -> float:
    times = [path.parent]
    with suppress(OSError):
        times = [path, *path.glob("*"), *path.glob("parts/*")]
        return max(one.stat().st_mtime for one in times)
    return time.time()
