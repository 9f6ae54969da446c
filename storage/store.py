"""The artifact store: a directory, and its only author. It remembers what was made and never makes
it twice.

- `<store>/published/<kind>/<key>/`: exists only whole, files 0444
- `<store>/drafts/<kind>/<key>/`: artifacts in the making
- `<store>/locks/<key>`: flock of the process that drives a making
- `<store>/quarantine/`: what was found damaged, with the reason
- `<store>/refs/`: names of artifacts
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from socket import gethostname
from uuid import uuid4

from conf.errors import RecipeError, did_you_mean
from conf.keys import ArtifactKey, Frozen
from storage.atomic import (
    exclusive,
    fsync_directory,
    is_temporary,
    make_directory,
    rename,
    write_json,
)
from storage.drafts import PLAN, Draft
from storage.errors import DamagedArtifact, DraftLost, StoreError, UnknownArtifact
from storage.manifest import MANIFEST, Manifest
from storage.parts import Marker, sealed
from storage.refs import Refs

STORE_FORMAT = 1


class Artifact(Frozen):
    """A small handle to something published: what tasks pass to one another instead of arrays."""

    kind: str
    key: str
    rows: int
    store: str
    """The uuid of the store that has it."""


class ArtifactStore:
    """The store in directory `path`; it is made there when `path` is absent or empty."""

    def __init__(self, path: Path | str, *, create: bool = True) -> None:
        self.path = Path(path).absolute()
        self.uuid = self._found_or_read(create=create)

    @cached_property
    def refs(self) -> Refs:
        """The names of artifacts."""
        return Refs(self.path / "refs")

    def _found_or_read(self, *, create: bool) -> str:
        card = self.path / "store.json"
        if not card.exists() and create:
            self._found(card)
        try:
            content = json.loads(card.read_bytes())
            if content["format"] == STORE_FORMAT:
                return str(content["uuid"])
            found = _other_format(content["format"])
        except FileNotFoundError:
            found = "is no artifact store: it has no store.json"
        except (ValueError, KeyError, TypeError):
            found = "has a store.json that is not one"
        raise StoreError(
            f"{self.path} {found}. Name another directory with --store or FEATUREMILL_STORE; an "
            "absent or empty one becomes a store with its first run: featuremill run demo."
        )

    def _found(self, card: Path) -> None:
        try:
            make_directory(self.path)
            if any(path.name != "locks" and not is_temporary(path) for path in self.path.iterdir()):
                return  # somebody's directory: not a store, and not ours to make one of
            with exclusive(self.path / "locks" / "store"):
                if not card.exists():
                    write_json(card, {"format": STORE_FORMAT, "uuid": uuid4().hex})
        except OSError as problem:
            raise StoreError(
                f"{self.path} cannot become a store: {problem.strerror}. "
                "Name a directory you can write to with --store or FEATUREMILL_STORE."
            ) from problem

    # -- reading ---------------------------------------------------------------------------------

    def folder(self, key: ArtifactKey | str) -> Path:
        """Return where the published artifact `key` lies or would lie."""
        key = key if isinstance(key, ArtifactKey) else ArtifactKey.parse(key)
        return self.path.joinpath("published", key.kind, str(key))

    def check_is(self, uuid: str) -> None:
        """Raise StoreError unless this is the store `uuid`, which a run on another machine uses."""
        if self.uuid != uuid:
            raise StoreError(
                f"{self.path} on {gethostname()} is another store than that of the run, which lies "
                "at the same path on its own machine. Mount one file system there on both, and "
                "name its directory with --store or FEATUREMILL_STORE."
            )

    def check_writable(self) -> None:
        """Raise StoreError, before anything is begun, where nothing can be written."""
        try:
            make_directory(self.path / "locks")
            os.close(os.open(self.path / "locks" / "store", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))
        except OSError as problem:
            raise StoreError(
                f"Nothing can be written in {self.path}: {problem.strerror}. What is published "
                "there can be read (`featuremill ls`, `show`, `plan`); to make or remove "
                "something, make it writable, or name another store with --store or "
                "FEATUREMILL_STORE."
            ) from problem

    def path_of(self, artifact: Artifact) -> Path:
        """Return the directory of `artifact`; raises StoreError when another store made it."""
        if artifact.store != self.uuid:
            raise StoreError(
                f"{artifact.key} was made in another store than {self.path}. "
                "Point --store or FEATUREMILL_STORE at the one it was made in."
            )
        return self.folder(artifact.key)

    def key_of(self, artifact: Artifact) -> ArtifactKey:
        """Return the key of `artifact`, parsed."""
        return ArtifactKey.parse(artifact.key)

    def find(self, key: ArtifactKey) -> Artifact | None:
        """Return the published artifact `key`, or None.

        The size of every file is checked; an artifact that fails is quarantined and counts as
        absent.
        """
        folder = self.folder(key)
        was_there = folder.is_dir()  # asked first: a publishing may come between the two looks
        try:
            manifest = Manifest.read(folder)
            problem = manifest.problem(folder, rehash=False) if manifest else None
        except DamagedArtifact as damage:
            manifest, problem = None, str(damage)
        if manifest is None and was_there:
            problem = problem or f"{MANIFEST} is gone"
        if problem:
            self.quarantine(key, problem)
        if manifest is None or problem:
            return None
        return self.handle(key, manifest.held_rows)

    def handle(self, key: ArtifactKey, rows: int) -> Artifact:
        """Return the handle that `key`, of so many rows, has in this store, published or not."""
        return Artifact(kind=key.kind, key=str(key), rows=rows, store=self.uuid)

    def holds(self, key: ArtifactKey | str) -> bool:
        """Whether something is published as `key`, whole or not."""
        return (self.folder(key) / MANIFEST).is_file()

    def manifest(self, key: ArtifactKey | str) -> Manifest:
        """Return the manifest of a published artifact; raises UnknownArtifact."""
        manifest = Manifest.read(self.folder(key))
        if manifest is None:
            raise self.unknown(str(key))
        return manifest

    def published(self) -> list[ArtifactKey]:
        """Return the keys of all that is published, sorted."""
        return sorted(self.manifest_times())

    def manifest_times(self) -> dict[ArtifactKey, int]:
        """Return, for all that is published, when its manifest was written, in ns since 1970."""
        found = {}
        for key, place in self._published_places():
            with suppress(FileNotFoundError):  # quarantined a moment ago, or it lost its manifest
                found[key] = os.stat(os.path.join(place, MANIFEST)).st_mtime_ns
        return found

    def published_folders(self) -> list[ArtifactKey]:
        """Return the keys of all directories under `published/`, also of those without a
        manifest."""
        return sorted(key for key, _ in self._published_places())

    def _published_places(self) -> Iterator[tuple[ArtifactKey, str]]:
        for kind in _folders_in(self.path / "published"):
            for folder in _folders_in(kind.path):
                with suppress(RecipeError):  # not ours: what file servers leave in every folder
                    yield ArtifactKey.parse(folder.name), folder.path

    def family(self, kind: str, family: str) -> list[ArtifactKey]:
        """Return the keys of the published artifacts of `kind` that share rows with `family`."""
        found = []
        for key in self.published():
            with suppress(DamagedArtifact):
                manifest = Manifest.read(self.folder(key)) if key.kind == kind else None
                if manifest and manifest.family == family:
                    found.append(key)
        return found

    def drafts(self) -> list[Draft]:
        """Return the artifacts in the making, by key, but for those whose plan cannot be read."""
        found = []
        for path in sorted(self.path.glob(f"drafts/*/*/{PLAN}")):
            with suppress(StoreError):
                if draft := Draft.read(path.parent):
                    found.append(draft)
        return found

    def unreadable_drafts(self) -> list[tuple[Path, str]]:
        """Return the drafts whose plan cannot be read, and why; only their own makers stumble."""
        found = []
        for path in sorted(self.path.glob(f"drafts/*/*/{PLAN}")):
            try:
                Draft.read(path.parent)
            except StoreError as problem:
                found.append((path.parent, str(problem)))
        return found

    def markers(self, artifact: Artifact) -> list[Marker]:
        """Return the markers of the parts of `artifact`, in order.

        Raises DamagedArtifact when they do not hold the rows that were published.
        """
        key = self.key_of(artifact)
        found = list(sealed(self.path_of(artifact) / "parts", key))
        rows = sum(len(marker.rows) for marker in found)
        if rows != (wanted := self.manifest(key).rows):
            raise DamagedArtifact(
                f"The parts of {key} hold {rows} rows, {wanted} were published. "
                "`featuremill verify` quarantines it; run the flow again to remake it."
            )
        return found

    def resolve(self, name: str) -> Artifact:
        """Return the artifact that `name` means: a key, the start of one key, or a reference."""
        known = [str(key) for key in self.published()]
        refs = self.refs.all()
        matching = [refs[name]] if name in refs else [key for key in known if key.startswith(name)]
        if len(matching) > 1:
            raise UnknownArtifact(
                f"{name!r} is the start of {len(matching)} keys: {', '.join(matching[:5])}. Write "
                f"more of it."
            )
        if not matching:
            raise self.unknown(name, [*known, *refs])
        found = self.find(ArtifactKey.parse(matching[0]))
        if found is None:
            raise UnknownArtifact(
                f"{name!r} means {matching[0]}, which {self.path} does not hold: it was never "
                "published here, or it was damaged and lies in quarantine now. Run its flow again."
            )
        return found

    def unknown(self, name: str, known: list[str] | None = None) -> UnknownArtifact:
        """Return the error that says `name` is not here, and what is nearest."""
        known = [str(key) for key in self.published()] if known is None else known
        hint = did_you_mean(name, known) if known else "The store is empty."
        return UnknownArtifact(
            f"{self.path} has no artifact {name!r}. {hint} `featuremill ls` lists all."
        )

    # -- damage ----------------------------------------------------------------------------------

    def quarantine(self, key: ArtifactKey, reason: str) -> Path:
        """Move the published artifact `key` out of sight, with the reason, and return where it lies
        now."""
        target = self._quarantine_place(key)
        make_directory(target.parent)
        write_json(target.with_name(f"{target.name}.json"), {"key": str(key), "reason": reason})
        with suppress(FileNotFoundError):  # another process moved it a moment ago
            rename(self.folder(key), target)
            fsync_directory(self.folder(key).parent)
        return target

    def lies_in_quarantine(self, key: ArtifactKey) -> bool:
        """Whether a published `key` was found damaged; it may have been made anew since."""
        return any((self.path / "quarantine" / key.kind).glob(f"{key}.*/{MANIFEST}"))

    def quarantine_part(self, draft: Draft, name: str, reason: str) -> None:
        """Move a damaged part of `draft` out of sight, with the reason, so that it is made
        again."""
        target = self._quarantine_place(draft.key)
        target.mkdir(parents=True)
        write_json(
            target.with_name(f"{target.name}.json"), {"key": str(draft.key), "reason": reason}
        )
        draft.reject(name, target / "parts")

    def _quarantine_place(self, key: ArtifactKey) -> Path:
        return self.path / "quarantine" / key.kind / f"{key}.{time.time_ns()}"

    # -- for storage/publishing.py ---------------------------------------------------------------

    def draft_folder(self, key: ArtifactKey) -> Path:
        """Return where the draft of `key` lies or would lie."""
        return self.path / "drafts" / key.kind / str(key)

    def draft(self, key: ArtifactKey) -> Draft | None:
        """Return the draft of `key`, for a worker: whoever drives the making holds the lock."""
        return Draft.read(self.draft_folder(key))

    def lock_path(self, key: ArtifactKey) -> Path:
        """Return the file whose flock the process that drives the making of `key` holds."""
        return self.path / "locks" / str(key)

    def open_draft(self, key: ArtifactKey) -> Draft:
        """Return the draft of `key`; raises DraftLost when there is none."""
        draft = self.draft(key)
        if draft is None:
            raise DraftLost(
                f"There is no draft of {key} in {self.path}: nobody drives its making, or it was "
                f"published. "
                "Run the flow again; what is published is reused."
            )
        return draft


def _folders_in(path: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as items:
            return [item for item in items if item.is_dir()]
    except (FileNotFoundError, PermissionError):  # lost+found, say
        return []


def _other_format(number: int) -> str:
    """Return what is wrong with a store of that format, and who can read it."""
    way = "the version that wrote it" if number < STORE_FORMAT else "a newer featuremill"
    return (
        f"is a store of format {number}, this version reads format {STORE_FORMAT}. Nothing in it "
        f"was touched: {way} can read it"
    )
