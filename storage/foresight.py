"""Foresight: what a making would do, said before anything is done. Writes nothing."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from conf.keys import held_rows
from storage.catalog import Catalog, Entry
from storage.drafts import Making
from storage.errors import DamagedArtifact
from storage.kinds import Kind, find_kind
from storage.manifest import MANIFEST, Manifest
from storage.publishing import offers_for
from storage.relatives import (
    changes_of,
    differences,
    explain,
    identity_of,
    nearest_relative,
    row_changes,
    rows_in,
)
from storage.store import ArtifactStore
from storage.takeover import Donation, cut, donations, holders_of, holding

State = Literal["reuse", "resume", "make", "blocked"]


@dataclass(frozen=True)
class Foreseen:
    """What a run would do for one artifact."""

    name: str
    key: str
    state: State
    reasons: tuple[str, ...]
    """Why it is not simply reused, in words; empty when it is."""
    rows: int
    rows_to_make: int
    """Rows that the run would compute: neither sealed nor held by a relative."""
    rows_taken_over: int = 0
    """Rows that artifacts of the same family, or a quarantined copy, hold."""
    parts: int = 0
    parts_sealed: int = 0
    """Parts that an earlier run has left."""
    size_bytes: int | None = None
    """Bytes that the rows to make would take; None when nobody knows."""
    seconds: float | None = None
    """Seconds that making them would take, by earlier runs on this system; None without any."""
    note: str = ""
    """What the run would note of it, such as rows that failed."""


@dataclass(frozen=True)
class Circumstances:
    """What foresight needs to know beside the making."""

    part_rows: int | None = None
    take_over: bool = True
    workers: int = 1
    device: str = "auto"


def foresee(
    store: ArtifactStore,
    catalog: Catalog,
    name: str,
    making: Making,
    given: Circumstances,
    *,
    last: str | None = None,
    promised: Mapping[str, str] | None = None,
    changed: Callable[[Any], str] | None = None,
) -> Foreseen:
    """Return what a run would do for `making`, known to users as `name`.

    `last` is the key that bore the name before, the one to compare with; `promised` are the keys
    of inputs that the same run would make, with their names; `changed` says in words how what is
    to be made differs from an older artifact, given as its reader.
    """
    key = str(making.key)
    manifest, damage = _stored(store, making)
    if manifest:
        return Foreseen(name, key, "reuse", (), manifest.held_rows, 0)
    work = _work(store, catalog, making, given)
    relative = _relative(catalog, making, last, by_name=changed is not None)
    if damage:
        reasons = [f"what is stored is damaged: {damage}"]
    elif store.lies_in_quarantine(making.key):
        reasons = ["what was made of it was damaged, and lies in quarantine"]
    elif relative is None:
        reasons = [f"no {making.key.kind} {'of this name ' if changed else ''}was made here before"]
    elif changed:
        reasons = [changes_of(store, relative, changed)]
    else:
        reasons = _differences(store, catalog, making, relative, promised or {}, work.offers)
    if work.sealed:
        reasons = [f"an earlier run left {work.sealed} of {work.parts} parts", *reasons]
    return Foreseen(
        name=name,
        key=key,
        state="resume" if work.sealed else "make",
        reasons=tuple(reasons),
        rows=held_rows(making.recipe, len(making.rows)),
        rows_to_make=held_rows(making.recipe, work.rows_to_make),
        rows_taken_over=work.rows_taken_over,
        parts=work.parts,
        parts_sealed=work.sealed,
        size_bytes=_size_bytes(making, relative, work),
        seconds=_seconds(catalog, making, given, work),
    )


@dataclass(frozen=True)
class _Work:
    parts: int
    sealed: int
    parts_to_make: int
    rows_to_make: int
    rows_taken_over: int
    offers: Sequence[Donation]
    """What the run would be offered to take over."""


def blocked(name: str, making: Making, why: str) -> Foreseen:
    """Return what a run would do for something whose model or input it would not get: nothing."""
    rows = held_rows(making.recipe, len(making.rows))
    return Foreseen(name, str(making.key), "blocked", (why,), rows, rows)


def _stored(store: ArtifactStore, making: Making) -> tuple[Manifest | None, str | None]:
    """Return the manifest of what is stored whole, or what is wrong with it; moves nothing."""
    folder = store.folder(making.key)
    try:
        manifest = Manifest.read(folder)
        problem = manifest.problem(folder, rehash=False) if manifest else None
    except DamagedArtifact as damage:
        return None, str(damage)
    if problem or manifest is None:
        return None, problem or (f"{MANIFEST} is gone" if folder.is_dir() else None)
    return manifest, None


def _work(store: ArtifactStore, catalog: Catalog, making: Making, given: Circumstances) -> _Work:
    """Return how much is sealed, would be taken over, and is left: as driving would find it."""
    kind = find_kind(making.key.kind)
    offers = _offers(store, catalog, making, kind) if given.take_over else []
    draft = store.draft(making.key)
    if draft:
        done, parts = draft.sealed(), list(draft.part_rows.values())
        pending = [rows for part, rows in draft.part_rows.items() if part not in done]
    else:
        rows_each = given.part_rows or kind.part_rows
        parts = cut(making.rows, offers, rows_each, pieces=kind.row_wise)
        done, pending = {}, parts
    holders = holders_of(offers, pending)
    to_make = [rows for rows in pending if not any(holding(rows, holders[rows[0]]))]
    rows_to_make = sum(map(len, to_make))
    return _Work(
        parts=len(parts),
        sealed=len(done),
        parts_to_make=len(to_make),
        rows_to_make=rows_to_make,
        rows_taken_over=sum(map(len, pending)) - rows_to_make,
        offers=offers,
    )


def _offers(store: ArtifactStore, catalog: Catalog, making: Making, kind: Kind) -> list[Donation]:
    """Return what a run would be offered. It quarantines a damaged artifact first, and takes its
    sound parts; so those are hashed here, once, though the catalog may still name them, too."""
    folder = store.folder(making.key)
    found = offers_for(store, making, kind, catalog.family)
    others = (offer for offer in found if offer.parts.parent != folder)
    return [
        offer
        for offer in (*donations(folder, making.key), *others)
        if offer.marker.key != str(making.key) or offer.marker.problem(offer.parts) is None
    ]


def _relative(catalog: Catalog, making: Making, last: str | None, *, by_name: bool) -> Entry | None:
    """Return what to compare with: what bore the name before, else the likest of its kind.

    With `by_name`, of others only one whose rows may be taken over will do, and comes first: two
    datasets have no more in common than their kind.
    """
    key = str(making.key)
    entries = {entry.key: entry for entry in catalog.entries(making.key.kind) if entry.key != key}
    named = entries.get(last or "")
    if not by_name:
        return named or nearest_relative(catalog, making.recipe.identity(making.inputs), but=[key])
    family = making.recipe.family(making.inputs)
    if named and named.family == family:
        return named
    return next((entry for entry in entries.values() if entry.family == family), named)


def _differences(
    store: ArtifactStore,
    catalog: Catalog,
    making: Making,
    relative: Entry,
    promised: Mapping[str, str],
    offers: Sequence[Donation],
) -> list[str]:
    """Return a reason for each field, input and kind of row that is not as in `relative`."""
    rows = _row_changes(store, making, relative, offers)
    told_by_rows = making.recipe.row_inputs if rows else frozenset()
    told = []
    for line in differences(making.recipe.identity(making.inputs), identity_of(relative)):
        name = line.partition(":")[0]
        key = str(making.inputs.get(name, ""))
        if key in promised:
            told.append(f"{promised[key]} is made anew")
        elif name not in told_by_rows:
            because = map(str.strip, explain(catalog, key, relative.inputs.get(name, "")))
            told.append(f"{line} ({said})" if (said := ", ".join(because)) else line)
    return told + rows or ["it was made before, and is no longer there"]


def _row_changes(
    store: ArtifactStore, making: Making, relative: Entry, offers: Sequence[Donation]
) -> list[str]:
    """Return which rows are new and which are gone, for kinds whose rows stand alone."""
    if not find_kind(making.key.kind).row_wise:
        return []
    folder = store.folder(relative.key)
    offered = [one.marker.rows for one in offers if one.parts.parent == folder]
    return row_changes(chain(*offered) if offered else rows_in(store, relative.key), making.rows)


def _size_bytes(making: Making, relative: Entry | None, work: _Work) -> int | None:
    if making.row_bytes:
        return making.row_bytes * work.rows_to_make
    if relative is None or not relative.rows:
        return None
    return round(relative.size_bytes / relative.rows * work.rows_to_make)


def _seconds(catalog: Catalog, making: Making, given: Circumstances, work: _Work) -> float | None:
    """Return what the rows would take, by the slowest like artifact made on this system.

    The slowest, because rows that were taken over cost next to nothing and count in `seconds`.
    """
    model = making.recipe.model_dump(mode="json").get("model")
    like = [
        entry.seconds / entry.rows
        for entry in catalog.entries(making.key.kind)
        if entry.rows and _is_like(entry, model, given.device)
    ]
    if not like:
        return None
    return max(like) * work.rows_to_make / max(1, min(given.workers, work.parts_to_make))


def _is_like(entry: Entry, model: object, device: str) -> bool:
    devices = entry.made.get("devices", [])
    return (
        entry.made.get("system") == platform.platform()
        and entry.recipe.get("model") == model
        and (device == "auto" or not devices or device in devices)
    )
