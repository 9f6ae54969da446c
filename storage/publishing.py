"""From a making to a published artifact: drive it, seal it, rename once."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from conf.errors import InputRefused
from conf.keys import ArtifactKey
from conf.machine import package_version
from conf.units import size
from storage.atomic import (
    exclusive,
    fsync_directory,
    fsync_file,
    make_directory,
    needing_space,
    rename,
)
from storage.checksums import FileSum
from storage.drafts import PLAN, Draft, Making
from storage.errors import DamagedArtifact, IncompleteArtifact, NoSpace, StoreError
from storage.kinds import Kind, find_kind
from storage.manifest import MANIFEST, Manifest, files_in
from storage.parts import Marker, sweep
from storage.store import Artifact, ArtifactStore
from storage.takeover import Donation, cut, donations, fill

_TOLD_PACKAGES = ["torch", "torchvision", "timm", "numpy", "scipy", "h5py", "pillow", "pillow-heif"]
"""Those whose versions a manifest tells, beside the library in a model's spec: they may change a
feature's last bits."""
_READ_ONLY, _ANY = 0o444, 0o777
_SPARE_BYTES = 1 << 26  # 64 MiB that a run leaves free for manifests, SQLite and everybody else


@contextmanager
def driving(
    store: ArtifactStore,
    making: Making,
    *,
    part_rows: int | None = None,
    take_over: bool = True,
    offers: Sequence[Donation] = (),
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[Draft | None]:
    """Yield the draft of `making`, its lock held, or None when the artifact is already published.

    A second process that asks for the same artifact waits here and then finds it published. A draft
    that an earlier run left is resumed: its sealed parts are hashed again, damaged ones
    quarantined, and, with `take_over`, rows that artifacts of the same family hold are taken over;
    of `offers` whole parts, whatever the kind. Where an input is refused, the draft is removed.
    """
    if store.find(making.key):
        yield None
        return
    with _locked(store, making.key, on_wait):
        if store.find(making.key):
            yield None
            return
        with needing_space(store.path):
            draft = _resume(store, making, part_rows, offers, take_over=take_over)
        _check_space(store, draft, making)
        try:
            yield draft
        except InputRefused:
            draft.discard()
            raise


@contextmanager
def _locked(
    store: ArtifactStore, key: ArtifactKey, on_wait: Callable[[str], None] | None
) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(store.lock_path(key), on_wait))
        except OSError as problem:
            raise StoreError(
                f"{key} is not published in {store.path}, and nothing can be written there: "
                f"{problem.strerror}. Make the store writable, or name another with --store."
            ) from problem
        yield


def _resume(
    store: ArtifactStore,
    making: Making,
    part_rows: int | None,
    given: Sequence[Donation],
    *,
    take_over: bool,
) -> Draft:
    kind = find_kind(making.key.kind)
    draft = store.draft(making.key)
    offers = [*given, *(offers_for(store, making, kind) if take_over else [])]
    if draft:
        _check_plan(draft, making)
    else:
        parts = cut(making.rows, offers, part_rows or kind.part_rows, pieces=kind.row_wise)
        draft = Draft.create(store.draft_folder(making.key), making, parts)
    sweep(draft.parts)
    for name, marker in draft.sealed().items():
        if problem := marker.problem(draft.parts):
            store.quarantine_part(draft, name, problem)
    fill(draft, offers, kind)
    return draft


def _check_plan(draft: Draft, making: Making) -> None:
    planned = [row for rows in draft.part_rows.values() for row in rows]
    if sorted(planned) != sorted(making.rows):
        raise StoreError(
            f"The plan in {draft.path} has {len(planned)} rows, not the {len(making.rows)} of "
            f"{making.key}: its file was changed. Nothing published is concerned; remove "
            f"{draft.path} and run again."
        )


def offers_for(
    store: ArtifactStore,
    making: Making,
    kind: Kind,
    family: Callable[[str, str], list[ArtifactKey]] | None = None,
) -> list[Donation]:
    """Return the sealed parts that may hold wanted rows: of the same artifact in quarantine, and,
    where rows stand alone, of every artifact and draft of the family.

    `family` finds the published artifacts of a kind and family, where the catalog, say, knows them
    sooner than the store.
    """
    found = [
        offer
        for folder in store.path.glob(f"quarantine/{making.key.kind}/{making.key}.*/")
        for offer in donations(folder, making.key)
    ]
    if not kind.row_wise:
        return found
    for key in (family or store.family)(making.key.kind, making.family):
        found += donations(store.folder(key), key)
    for draft in store.drafts():
        if draft.key != making.key and draft.plan["family"] == making.family:
            found += donations(draft.path, draft.key)
    return found


def _check_space(store: ArtifactStore, draft: Draft, making: Making) -> None:
    rows = sum(len(draft.rows_of(name)) for name in draft.pending())
    needed, free = rows * making.row_bytes, shutil.disk_usage(store.path).free
    if needed and needed + _SPARE_BYTES > free:
        raise NoSpace(
            f"{making.key} needs about {size(needed)} for {rows:,} rows, and {size(_SPARE_BYTES)} "
            f"to spare; {store.path} has {size(free)} free. Free some, or name another store with "
            "--store, and run again: what is sealed is kept."
        )


def seal(
    store: ArtifactStore, key: ArtifactKey, *, made: Mapping[str, Any] | None = None
) -> Artifact:
    """Finish and publish the draft of `key`, and return its handle; of a published one, just the
    handle.

    `made` is provenance for the manifest: device, fingerprint, whatever decides nothing. Raises
    IncompleteArtifact while parts are missing.
    """
    if found := store.find(key):
        return found
    draft = store.open_draft(key)
    markers = draft.check_complete()
    _check_coverage(draft, markers)
    with needing_space(store.path):
        manifest = _write_manifest(draft, markers, made or {})
        _publish(store, draft, manifest)
    found = store.find(key)
    if found is None:
        raise DamagedArtifact(f"{key} was damaged while it was published. Run the flow again.")
    return found


def _check_coverage(draft: Draft, markers: list[Marker]) -> None:
    rows = [row for marker in markers for row in marker.rows]
    if len(rows) != len(set(rows)):
        twice = len(rows) - len(set(rows))
        raise IncompleteArtifact(
            f"The parts of {draft.key} hold {twice} rows twice. This is a fault of the plan in "
            f"{draft.path}; remove that directory and run again."
        )


def _write_manifest(draft: Draft, markers: list[Marker], made: Mapping[str, Any]) -> Manifest:
    kind = find_kind(draft.key.kind)
    (draft.path / MANIFEST).unlink(missing_ok=True)  # of a publishing that died before its rename
    sweep(draft.parts)
    if kind.finish:
        kind.finish(draft)
    plan = draft.plan
    files = _known_sums(draft, markers)
    for name in sorted(files_in(draft.path) - files.keys()):
        fsync_file(draft.path / name)
        files[name] = FileSum.of(draft.path / name)
    manifest = Manifest(
        key=plan["key"],
        digest=plan["digest"],
        family=plan["family"],
        recipe=plan["recipe"],
        inputs=plan["inputs"],
        rows=sum(len(marker.rows) for marker in markers),
        files=files,
        made=_provenance(draft, markers) | dict(made),
    )
    manifest.write(draft.path)
    return manifest


def _known_sums(draft: Draft, markers: list[Marker]) -> dict[str, FileSum]:
    return {
        f"parts/{marker.part}/{name}": sums
        for marker in markers
        for name, sums in marker.files.items()
    }


def _provenance(draft: Draft, markers: list[Marker]) -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_seconds": round(time.time() - draft.plan["began"], 3),
        "part_seconds": round(sum(marker.seconds for marker in markers), 3),
        "devices": sorted({marker.device for marker in markers} - {""}),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: found for name in _TOLD_PACKAGES if (found := package_version(name))},
    }


def _publish(store: ArtifactStore, draft: Draft, manifest: Manifest) -> None:
    for name in (*manifest.files, MANIFEST):
        _make_read_only(os.path.join(draft.path, name))
    target = store.folder(draft.key)
    make_directory(target.parent)
    fsync_directory(draft.path)
    rename(draft.path, target)
    fsync_directory(draft.path.parent)
    (target / PLAN).unlink(missing_ok=True)


def _make_read_only(path: str) -> None:
    with suppress(FileNotFoundError):  # of a file that is gone, `find` tells
        if os.stat(path).st_mode & _ANY != _READ_ONLY:  # else another artifact has the same file
            os.chmod(path, _READ_ONLY)
