"""Relatives: how one artifact differs from the nearest that the store knows, in words."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from conf.errors import FeaturemillError
from conf.keys import ArtifactKey, canonical_json
from storage.catalog import Catalog, Entry
from storage.kinds import find_kind, recipe_of
from storage.store import Artifact, ArtifactStore
from storage.takeover import donations

_SHOWN = 3
_LONG = 60
_HEX = re.compile("[0-9a-f]{40,}")
_ABSENT = object()

Identity = Mapping[str, Any]
"""What a key is made of: kind, version, recipe, inputs; `Recipe.identity` returns one."""


def identity_of(entry: Entry) -> Identity:
    """Return what the key of a published artifact was made of."""
    key = ArtifactKey.parse(entry.key)
    return {
        "kind": key.kind,
        "version": key.version,
        "recipe": entry.recipe,
        "inputs": entry.inputs,
    }


def nearest_relative(
    catalog: Catalog, identity: Identity, *, but: Sequence[str] = ()
) -> Entry | None:
    """Return the published artifact of the same kind that has most in common with `identity`.

    Fields of the recipe and inputs count alike; among equals the newest is taken. None when the
    store has no other artifact of the kind than those in `but`.
    """
    wanted = dict(_leaves(identity))
    others = [e for e in catalog.entries(identity["kind"]) if e.key not in but]
    return max(others, key=lambda entry: _likeness(wanted, entry), default=None)


def differences(new: Identity, old: Identity) -> list[str]:
    """Return a line for each field of recipe or inputs in which `new` is not `old`.

    Such as "model.precision: fp16, was fp32" or "prompts.vocabulary: added cat, removed dog".
    Empty when the two make the same key.
    """
    mine, theirs = dict(_leaves(new)), dict(_leaves(old))
    pairs = {
        field: (mine.get(field, _ABSENT), theirs.get(field, _ABSENT))
        for field in dict.fromkeys([*mine, *theirs])
    }
    return [f"{field}: {_change(*pair)}" for field, pair in pairs.items() if _differ(*pair)]


def explain(catalog: Catalog, key: str, than: str, depth: int = 4) -> list[str]:
    """Return how `key` differs from `than`, field by field, and why its inputs do, indented.

    Of a dataset it tells what became of its rows; where rows stand alone, which came and went.
    """
    known = {entry.key: entry for entry in catalog.entries()}
    return _explained(catalog.store, known, key, than, depth)


def _explained(
    store: ArtifactStore, known: Mapping[str, Entry], key: str, than: str, depth: int
) -> list[str]:
    if key not in known or than not in known or key == than:
        return []
    kind = find_kind(known[key].kind)
    if changes := kind.changes:
        reader = kind.open
        now = _handle(store, known[key])
        return [changes_of(store, known[than], lambda old: changes(old, reader(store, now)))]
    new, old = identity_of(known[key]), identity_of(known[than])
    rows = row_changes(rows_in(store, than), rows_in(store, key)) if kind.row_wise else []
    told_by_rows = recipe_of(kind.name).row_inputs if rows else frozenset()
    lines: list[str] = []
    for line in differences(new, old):
        name = line.partition(":")[0]
        if name in told_by_rows:
            continue
        lines.append(line)
        pair = new["inputs"].get(name), old["inputs"].get(name)
        if depth and all(isinstance(one, str) for one in pair):
            lines += [f"  {line}" for line in _explained(store, known, *pair, depth - 1)]
    return lines + rows


def changes_of(store: ArtifactStore, older: Entry, changed: Callable[[Any], str]) -> str:
    """Return what `changed` says of the reader of an older artifact, which may be unreadable."""
    try:
        return changed(find_kind(older.kind).open(store, _handle(store, older)))
    except FeaturemillError as problem:
        return f"it is not {older.key}; how they differ cannot be told: {problem}"


def rows_in(store: ArtifactStore, key: str) -> Iterator[str]:
    """Yield the ids of the rows of a published artifact."""
    parsed = ArtifactKey.parse(key)
    for part in donations(store.folder(parsed), parsed):
        yield from part.marker.rows


def row_changes(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return in a line how many rows are new and how many are gone; no line where none is."""
    old, held = set(before), set(now)
    new = len(held - old)
    counts = {"new": new, "gone": len(old) - (len(held) - new)}
    told = [f"{count:,} {word}" for word, count in counts.items() if count]
    return [f"rows: {', '.join(told)}"] if told else []


def _handle(store: ArtifactStore, entry: Entry) -> Artifact:
    return Artifact(kind=entry.kind, key=entry.key, rows=entry.held_rows, store=store.uuid)


def _leaves(identity: Identity) -> Iterator[tuple[str, Any]]:
    yield "version", identity["version"]
    yield from _flat(identity["recipe"], "")
    yield from identity["inputs"].items()


def _flat(content: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", list(value) if isinstance(value, tuple) else value


def _likeness(wanted: Mapping[str, Any], entry: Entry) -> tuple[int, str]:
    theirs = dict(_leaves(identity_of(entry)))
    return sum(theirs.get(field, _ABSENT) == value for field, value in wanted.items()), entry.at


def _differ(new: Any, old: Any) -> bool:
    """Whether two values make different keys: True is not 1 there, nor 1.0."""
    if new is _ABSENT or old is _ABSENT:
        return True
    return canonical_json(new) != canonical_json(old)


def _change(new: Any, old: Any) -> str:
    if new is _ABSENT:
        return f"gone, was {_said(old)}"
    if old is _ABSENT:
        return f"{_said(new)}, was not there"
    if isinstance(new, list) and isinstance(old, list):
        return _list_change(new, old)
    return f"{_said(new)}, was {_said(old)}"


def _list_change(new: list[Any], old: list[Any]) -> str:
    added = [value for value in new if value not in old]
    removed = [value for value in old if value not in new]
    told = [
        f"{word} {', '.join(map(_said, values[:_SHOWN]))}"
        f"{f' and {len(values) - _SHOWN} more' if len(values) > _SHOWN else ''}"
        for word, values in (("added", added), ("removed", removed))
        if values
    ]
    return ", ".join(told) or "another order"


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else str(value)
    if _HEX.fullmatch(text):
        return f"{text[:12]}..."
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
