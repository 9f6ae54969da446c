"""A world: one store, the processes that die in it, and what is left for the next of them."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.steps import observed_by
from tasks.killtest.audit import FAULTS, Findings, audit, audit_finished, audit_notes
from tasks.killtest.deaths import Death, Spot, answered, ended, forked, killer
from tasks.killtest.making import make_all, notes_in, read_notes
from tasks.killtest.scene import Scene


@dataclass(frozen=True)
class Outcome:
    """What one death, or the going on after it, did to a store."""

    faults: Mapping[str, tuple[str, ...]]
    """The words of an audit by the name of the fault."""
    remade: int = 0
    """Parts that were begun by the dead and have to be begun again."""


class World:
    """A store in `folder`, to be filled with `scene`."""

    def __init__(self, folder: Path, scene: Scene, reference: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.store = folder / "store"
        self._scene = scene
        self._reference = reference
        self._notes = folder / "notes"
        self._answer = folder / "answer"
        self._failure: str | None = None
        self._heard = 0
        self._stood: set[str] = set()

    def live_until(self, death: Death) -> bool:
        """Return whether a child that goes on with the making died of `death`.

        One that fails instead is a fault, which the next `examine` tells.
        """
        process = forked(lambda: self._work(death), self._answer)
        if ended(process, death.delay_seconds):
            return True
        self._failure = answered(self._answer)[1]
        return False

    def examine(self, *, finish: bool) -> Outcome:
        """Return what is wrong now and, with `finish`, after going on to the end."""
        ended(forked(lambda: self._examined(finish), self._answer))
        content, raised = answered(self._answer)
        if raised or not isinstance(content, dict):
            return Outcome({"torn": (f"going on was impossible: {raised}",)})
        self._heard, self._stood = content.pop("heard"), set(content.pop("sealed"))
        faults = {name: tuple(content[name]) for name in FAULTS}
        if self._failure:
            faults["torn"] += (f"going on failed: {self._failure}",)
        return Outcome(faults, content["remade"])

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder)

    def _work(self, death: Death) -> None:
        with notes_in(self._notes) as note, observed_by(killer(death, self.store)):
            make_all(self._scene, self.store, note)

    def _examined(self, finish: bool) -> dict[str, Any]:
        found = self._audited()
        notes = read_notes(self._notes)
        begun = _begun(notes[self._heard :])
        found.lost += [f"part {name} stood and was made again" for name in begun & self._stood]
        facts = {
            "sealed": sorted(found.sealed),
            "remade": len(begun - found.sealed),
            "heard": len(notes),
        }
        after = self._finished(found.sealed, len(notes)) if finish else Findings()
        return facts | {name: getattr(found, name) + getattr(after, name) for name in FAULTS}

    def _finished(self, stood: set[str], heard: int) -> Findings:
        self._work(Death())
        after = self._audited()
        again = _begun(read_notes(self._notes)[heard:]) & stood
        after.lost += [f"part {name} stood and was made again" for name in again]
        audit_finished(self.store, self._reference, after)
        return after

    def _audited(self) -> Findings:
        found = audit(self.store, self._scene)
        audit_notes(read_notes(self._notes), found)
        return found


def _begun(notes: list[tuple[str, str]]) -> set[str]:
    return {name for event, name in notes if event == "began"}


def passed_spots(folder: Path, scene: Scene) -> list[Spot]:
    """Return every spot that an undisturbed making in `folder` passes, in order."""
    seen: list[Spot] = []
    store = folder / "store"

    def make() -> list[dict[str, str]]:
        with (
            notes_in(Path(os.devnull)) as note,
            observed_by(lambda when, what, path: seen.append(Spot.of(when, what, path, store))),
        ):
            make_all(scene, store, note)
        return [asdict(spot) for spot in seen]

    ended(forked(make, folder / "answer"))
    content, raised = answered(folder / "answer")
    if raised or not isinstance(content, list):
        raise ChildProcessError(f"The making fails even when nobody is killed: {raised}")
    return [Spot(**spot) for spot in content]
