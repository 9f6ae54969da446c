"""Verification: every byte that was ever sealed, hashed again."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conf.errors import RecipeError
from conf.keys import ArtifactKey
from storage.atomic import is_held
from storage.checksums import FileSum
from storage.drafts import Draft
from storage.errors import DamagedArtifact
from storage.manifest import MANIFEST, Manifest, files_in
from storage.parts import Marker
from storage.store import ArtifactStore


@dataclass(frozen=True)
class Finding:
    """What verification says of one artifact, draft or reference."""

    name: str
    state: str
    """"whole", "damaged" (and quarantined) or "dangling" (a reference to nothing)."""
    reason: str
    size_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.state == "whole"


def verify(
    store: ArtifactStore, *, on_progress: Callable[[str], None] = lambda name: None
) -> Iterator[Finding]:
    """Yield a finding for every published artifact, draft and reference of `store`.

    Every file is hashed once, however many artifacts share it by hard link; each artifact that
    shares a damaged file is quarantined. A damaged part of a draft is quarantined alone.
    """
    known: dict[tuple[int, int], FileSum] = {}
    for key in store.published_folders():
        on_progress(str(key))
        yield _verify_published(store, key, known)
    for draft in store.drafts():
        if not is_held(store.lock_path(draft.key)):  # else a run is making it, and may publish it
            on_progress(str(draft.key))
            yield from _verify_draft(store, draft)
    for path, problem in store.unreadable_drafts():
        yield Finding(f"draft {path.name}", "damaged", problem, 0)
    for name, text in store.refs.all().items():
        if not _is_published(store, text):
            yield Finding(name, "dangling", f"refers to {text}, which is not published", 0)


def _is_published(store: ArtifactStore, text: str) -> bool:
    with suppress(RecipeError):  # not even a key
        return store.folder(text).is_dir()
    return False


def _verify_published(
    store: ArtifactStore, key: ArtifactKey, known: dict[tuple[int, int], FileSum]
) -> Finding:
    folder = store.folder(key)
    try:
        manifest = Manifest.read(folder)
        problem = _problem(manifest, folder, known) if manifest else f"{MANIFEST} is gone"
    except DamagedArtifact as damage:
        manifest, problem = None, str(damage)
    size_bytes = manifest.size_bytes if manifest else 0
    if problem:
        store.quarantine(key, problem)
        return Finding(str(key), "damaged", problem, size_bytes)
    return Finding(str(key), "whole", "", size_bytes)


def _problem(manifest: Manifest, folder: Path, known: dict[tuple[int, int], FileSum]) -> str | None:
    for name, sums in manifest.files.items():
        path = folder / name
        if problem := sums.problem(path, rehash=False):
            return f"{name}: {problem}"
        status = path.stat()
        inode = (status.st_dev, status.st_ino)
        if known.get(inode) != sums:
            if problem := sums.problem(path):
                return f"{name}: {problem}"
            known[inode] = sums
    if strangers := files_in(folder) - manifest.files.keys():
        return f"{sorted(strangers)} in it were never published"
    return _rows_problem(manifest, folder)


def _rows_problem(manifest: Manifest, folder: Path) -> str | None:
    key = ArtifactKey.parse(manifest.key)
    markers = (Marker.read(folder / name) for name in manifest.files if _is_marker(name))
    rows = [row for marker in markers if marker and marker.key == str(key) for row in marker.rows]
    if len(rows) != manifest.rows or len(set(rows)) != len(rows):
        return f"its parts hold {len(set(rows))} rows, {manifest.rows} were published"
    return None


def _is_marker(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == "parts" and file.endswith(".json")


def _verify_draft(store: ArtifactStore, draft: Draft) -> Iterator[Finding]:
    for name, marker in draft.sealed().items():
        if problem := marker.problem(draft.parts):
            store.quarantine_part(draft, name, problem)
            yield Finding(f"draft {name}", "damaged", problem, 0)
