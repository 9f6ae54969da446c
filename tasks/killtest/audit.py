"""What must hold of a store at every moment, whoever died in it. The audit repairs nothing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from conf.errors import FeaturemillError
from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from storage.atomic import is_temporary
from storage.drafts import PLAN, Draft
from storage.images import FEATURES, TOKENS
from storage.manifest import Manifest
from storage.parts import Marker
from storage.store import ArtifactStore
from tasks.killtest.scene import Scene

FAULTS = ("torn", "lost", "doubled", "wrong")


@dataclass
class Findings:
    """What an audit saw: faults in words, one each, and what stands."""

    torn: list[str] = field(default_factory=list)
    """Files or rows that are not, to the last byte, what was sealed."""
    lost: list[str] = field(default_factory=list)
    """Rows and parts that were there, or had to be, and are not."""
    doubled: list[str] = field(default_factory=list)
    """Rows that an artifact holds twice."""
    wrong: list[str] = field(default_factory=list)
    """Rows that are not what the encoder gives for their content, or were never asked for."""
    sealed: set[str] = field(default_factory=set)
    """The names of all sealed parts."""
    published: set[str] = field(default_factory=set)
    """The keys of all that is published."""


def audit(path: Path, scene: Scene) -> Findings:
    """Return what is wrong with the store at `path`, and which parts and artifacts stand."""
    found = Findings()
    if (path / "store.json").exists():
        store = _opened(path, found)
        for folder in sorted(path.glob("published/*/*/")) if store else ():
            _audit_published(folder, scene, found)
        for folder in sorted(path.glob("drafts/*/*/")) if store else ():
            _audit_draft(folder, scene, found)
    found.torn += [f"{gone.name} had to be quarantined" for gone in path.glob("quarantine/*/*/")]
    return found


def audit_notes(notes: list[tuple[str, str]], found: Findings) -> None:
    """Add to `found` what was noted as sealed or published and is not there."""
    for event, name in notes:
        if event == "sealed" and name not in found.sealed:
            found.lost.append(f"part {name} was sealed and is gone")
        if event == "published" and name not in found.published:
            found.lost.append(f"{name} was published and is gone")


def audit_finished(path: Path, reference: Path, found: Findings) -> None:
    """Add to `found` how what is published in `path` differs from an undisturbed making."""
    ours, theirs = _sums(path), _sums(reference)
    found.lost += [f"{name} was never made" for name in sorted(theirs.keys() - ours.keys())]
    found.wrong += [f"{name} was never asked for" for name in sorted(ours.keys() - theirs.keys())]
    found.wrong += [
        f"{name} differs from an undisturbed making"
        for name in sorted(ours.keys() & theirs.keys())
        if ours[name] != theirs[name]
    ]
    left = [folder.name for folder in path.glob("drafts/*/*/")]
    found.torn += [f"a draft of {name} is left over" for name in left]


def audit_reference(path: Path, scene: Scene) -> None:
    """Raise AssertionError unless an undisturbed making in `path` holds just what `scene` wants."""
    found = audit(path, scene)
    faults = [text for name in FAULTS for text in getattr(found, name)]
    assert not faults, f"the undisturbed making is at fault already: {faults}"
    rows = {frozenset(rows) for rows in _rows_by_artifact(path) if rows}
    assert rows == scene.contents, "the undisturbed making lacks rows, or has too many"


def _opened(path: Path, found: Findings) -> ArtifactStore | None:
    try:
        return ArtifactStore(path, create=False)
    except FeaturemillError as problem:
        found.torn.append(str(problem))
        return None


def _audit_published(folder: Path, scene: Scene, found: Findings) -> None:
    try:
        manifest = Manifest.read(folder)
        problem = manifest.problem(folder) if manifest else "it has no manifest"
    except FeaturemillError as damage:
        manifest, problem = None, str(damage)
    if manifest is None or problem:
        found.torn.append(f"published {folder.name}: {problem}")
        return
    found.published.add(folder.name)
    rows = _audit_parts(folder, scene, found)
    if rows != manifest.rows:
        found.lost.append(f"{folder.name} publishes {manifest.rows} rows and holds {rows}")


def _audit_draft(folder: Path, scene: Scene, found: Findings) -> None:
    try:
        draft = Draft.read(folder)
    except FeaturemillError as problem:
        found.torn.append(str(problem))
        return
    if draft:
        _audit_parts(folder, scene, found)
    elif any(folder.glob("parts/*")):
        found.torn.append(f"draft {folder.name} has parts and no {PLAN}")


def _audit_parts(folder: Path, scene: Scene, found: Findings) -> int:
    """Return how many rows the sealed parts in `folder` hold, faults added to `found`."""
    rows: Counter[str] = Counter()
    for marker in _markers(folder, found):
        if problem := _problem(marker, folder / "parts"):
            found.torn.append(problem)
            continue
        found.sealed.add(marker.part)
        rows.update(marker.rows)
        if ArtifactKey.parse(folder.name).kind == ImageRecipe.kind:
            _audit_rows(folder / "parts" / marker.part, marker, scene, found)
    found.doubled += [f"{folder.name} holds {row} twice" for row, n in rows.items() if n > 1]
    return rows.total()


def _markers(folder: Path, found: Findings) -> Iterator[Marker]:
    for path in sorted(path for path in folder.glob("parts/*.json") if not is_temporary(path)):
        marker = Marker.read(path)
        if marker and marker.key == folder.name and marker.part == path.stem:
            yield marker
        else:
            found.torn.append(f"{path.name} is no marker")


def _problem(marker: Marker, parts: Path) -> str | None:
    if not (parts / marker.part).is_dir():
        return f"{marker.part} has a marker and no files"
    return marker.problem(parts)


def _audit_rows(part: Path, marker: Marker, scene: Scene, found: Findings) -> None:
    """Compare every stored row with what the encoder gives for its content."""
    with h5py.File(part / FEATURES, "r") as file:
        pooled, digests = file["image_features"][:], file["content_sha256"][:]
    with h5py.File(part / TOKENS, "r") as file:
        tokens = file["image_token_features"][:]
    if not len(pooled) == len(tokens) == len(digests) == len(marker.rows):
        found.torn.append(f"{part.name} has other numbers of rows than its marker")
        return
    for position, row in enumerate(marker.rows):
        truth = scene.truth.get(row)
        stored = digests[position].tobytes().hex(), pooled[position], tokens[position]
        if truth is None or not _same(stored, (row, truth.pooled, truth.tokens)):
            found.wrong.append(f"{part.name}: row {position} is not the one of {row}")


def _same(stored: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(stored, wanted, strict=True))


def _sums(store: Path) -> dict[str, object]:
    """Return what must be alike, whatever happened on the way: rows and checksums, no times."""
    found: dict[str, object] = {}
    for folder in store.glob("published/*/*/"):
        manifest = Manifest.read(folder)
        found[folder.name] = manifest and manifest.rows
        for marker in _markers(folder, Findings()):
            found[marker.part] = (marker.rows, marker.files)
    return found


def _rows_by_artifact(store: Path) -> Iterator[list[str]]:
    for folder in store.glob(f"published/{ImageRecipe.kind}/*/"):
        yield [row for marker in _markers(folder, Findings()) for row in marker.rows]
