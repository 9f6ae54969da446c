"""Collecting: what no name, no recent run and no draft needs any more is removed."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conf.errors import RecipeError
from storage.accepting import accepted
from storage.atomic import exclusive, fsync_directory, is_held, make_directory, rename
from storage.catalog import Catalog, Entry
from storage.drafts import Draft
from storage.errors import StoreInUse
from storage.runs import Runs
from storage.store import ArtifactStore

TRASH = "trash"
_NEEDLESS = {0: "no name needs it", 1: "no name and not the last run of any needs it"}


@dataclass(frozen=True)
class Garbage:
    """Something that nothing needs."""

    name: str
    what: str
    """"artifact" or "draft"."""
    path: Path
    size_bytes: int
    """Bytes that its files name; those that others share by hard link stay on the disk."""
    why: str


def garbage(store: ArtifactStore, *, keep_runs: int, draft_days: float) -> list[Garbage]:
    """Return what may go: artifacts that no root reaches through inputs, and forgotten drafts.

    Roots are every named reference and the artifacts of the last `keep_runs` runs of each name
    that ended; a draft is forgotten when no process drives it and nothing was written to it for
    `draft_days` days. What a draft that stays was made of stays, too, and so does what was accepted
    in the place of something that stays: nothing names it before the next run.
    """
    if keep_runs < 0 or draft_days < 0:
        raise RecipeError(
            f"{keep_runs} runs to keep and drafts of {draft_days:g} days: neither can be negative. "
            "0 keeps nothing for its age; names and what is in use stay in any case."
        )
    entries = {entry.key: entry for entry in Catalog(store).entries()}
    roots = {*store.refs.all().values(), *_of_runs(Runs(store.path), keep_runs)}
    forgotten = []
    for draft in store.drafts():
        if _is_forgotten(store, draft, draft_days):
            forgotten.append(draft)
        else:
            roots |= set(draft.plan["inputs"].values())
    present = {one.instead: one.key for one in accepted(store)}
    needed = _reached(roots, entries, present)
    why = _NEEDLESS.get(
        keep_runs, f"no name and none of the last {keep_runs} runs of each needs it"
    )
    found = [
        Garbage(key, "artifact", store.folder(key), entry.size_bytes, why)
        for key, entry in sorted(entries.items())
        if key not in needed
    ]
    return [*found, *(_garbage_of(draft, draft_days) for draft in forgotten)]


def freed_bytes(found: Iterable[Garbage]) -> int:
    """Return the bytes that removing `found` gives back: of files whose every link is in it."""
    links: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for one in found:
        for path in one.path.rglob("*"):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                inode = (status.st_dev, status.st_ino)
                links[inode] += 1
                sizes[inode] = (status.st_nlink, status.st_size)
    return sum(size for inode, (nlink, size) in sizes.items() if links[inode] >= nlink)


def collect(store: ArtifactStore, *, keep_runs: int, draft_days: float) -> list[Garbage]:
    """Remove what `garbage` names, each in one rename first, and return it.

    Raises StoreInUse while any run is at work: it may be about to reuse what nothing names yet.
    """

    def refuse(holder: str) -> None:
        raise StoreInUse(
            f"A run is at work in {store.path}, and may be about to reuse what nothing names yet. "
            "Nothing was removed; collect again when it has ended: `featuremill ls --runs` lists "
            "the runs."
        )

    store.check_writable()
    with exclusive(Runs(store.path).everyone, refuse):
        found = garbage(store, keep_runs=keep_runs, draft_days=draft_days)
        for one in found:
            _remove(store, one)
        shutil.rmtree(store.path / TRASH, ignore_errors=True)
    return found


def _remove(store: ArtifactStore, one: Garbage) -> None:
    """Take `one` out of sight in one rename, so that a death leaves no half of it, then remove
    it."""
    target = store.path / TRASH / f"{one.path.name}.{time.time_ns()}"
    make_directory(target.parent)
    rename(one.path, target)
    fsync_directory(one.path.parent)
    shutil.rmtree(target)


def _of_runs(runs: Runs, keep_runs: int) -> Iterable[str]:
    kept: Counter[str] = Counter()
    for record in runs.all():
        if record.ended is not None and kept[record.name] < keep_runs:
            kept[record.name] += 1
            yield from (str(made["key"]) for made in record.artifacts)


def _reached(
    roots: Iterable[str], entries: Mapping[str, Entry], present: Mapping[str, str]
) -> set[str]:
    """Return the keys of `roots`, of everything that they were made of, and of what `present` says
    was accepted in the place of any."""
    todo, needed = list(roots), set[str]()
    while todo:
        key = todo.pop()
        if key not in needed:
            needed.add(key)
            todo += _made_of(entries[key]) if key in entries else []
            todo += [present[key]] if key in present else []
    return needed


def _made_of(entry: Entry) -> Sequence[str]:
    """Return the inputs of an artifact, and the ledger that says what its rows are."""
    dataset = entry.made.get("dataset")
    return [*entry.inputs.values(), *([dataset] if isinstance(dataset, str) else [])]


def _is_forgotten(store: ArtifactStore, draft: Draft, draft_days: float) -> bool:
    if is_held(store.lock_path(draft.key)):
        return False
    newest = max(path.stat().st_mtime for path in (draft.path, draft.parts) if path.exists())
    return time.time() - newest > draft_days * 86_400


def _garbage_of(draft: Draft, draft_days: float) -> Garbage:
    size = sum(path.stat().st_size for path in draft.path.rglob("*") if path.is_file())
    why = f"a draft that nothing was written to for {draft_days:g} days"
    return Garbage(str(draft.key), "draft", draft.path, size, why)
