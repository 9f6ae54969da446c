"""Plans: a flow gone through without making anything, to say what a run of it would do."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conf.errors import WorldError
from conf.load import LoadedPreset
from conf.machine import collector_paused
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.run import PLANNER, Run, named_for
from storage.catalog import Catalog
from storage.drafts import Making
from storage.errors import UnknownArtifact
from storage.foresight import Circumstances, Foreseen, blocked, foresee
from storage.store import Artifact, ArtifactStore


@dataclass
class Plan:
    """What a run of a preset would do; a Planner that a flow is gone through with."""

    name: str
    artifacts: list[Foreseen] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """What can be said only when something before it is made, or not at all, and why."""
    _blocked_models: dict[ModelSpec, str] = field(default_factory=dict)
    _catalogs: dict[Path, Catalog] = field(default_factory=dict)
    """Of each store, as it is at the first question."""

    def resolve(self, run: Run, model: ModelSpec) -> ModelSpec:
        """Return `model`, its weights named; where they are missing, as it is, and remember why."""
        try:
            return run.resolved(model)
        except WorldError as missing:
            self._blocked_models[model] = str(missing)
            return model

    def foresee(
        self, run: Run, name: str, making: Making, changed: Callable[[Any], str] | None, note: str
    ) -> Artifact:
        """Take down what a run would do for `making`, and return the handle that it would give."""
        full = f"{run.name}/{name}"
        if why := self._obstacle(making):
            foreseen = blocked(full, making, why)
        else:
            foreseen = foresee(
                run.store,
                self._catalog(run.store),
                full,
                making,
                _circumstances(run.runtime),
                last=run.store.refs.get(full),
                promised=self.promised,
                changed=changed,
            )
        self.artifacts.append(replace(foreseen, note=note))
        return run.store.handle(making.key, foreseen.rows)

    def attempt(self, step: Callable[[], Any]) -> None:
        """Go through `step` as far as what is stored allows; what follows depends on what is not.

        Any error is raised where everything that the step named is stored: a run would meet it too.
        """
        before = len(self.artifacts)
        try:
            step()
        except (UnknownArtifact, FileNotFoundError):
            missing = [one.name for one in self.artifacts[before:] if one.state != "reuse"]
            if not missing:
                raise
            self.unknown.append(f"what follows {missing[-1]}: known when that is made")

    def leave_out(self, absent: Mapping[str, str]) -> None:
        """Take down what a run would leave out beside what is told as blocked, and why."""
        self.unknown += [f"left out: {name}: {why}" for name, why in absent.items()]

    @property
    def promised(self) -> dict[str, str]:
        """The keys that are not there yet, with the names of what will bear them."""
        return {
            one.key: one.name.rpartition("/")[2] for one in self.artifacts if one.state != "reuse"
        }

    def _obstacle(self, making: Making) -> str | None:
        """Return why a run could not make this, or None."""
        for model, why in self._blocked_models.items():
            if any(value == model for _, value in making.recipe):
                return why
        waiting = {one.key: one.name for one in self.artifacts if one.state == "blocked"}
        names = [waiting[str(key)] for key in making.inputs.values() if str(key) in waiting]
        return f"blocked by {', '.join(names)}" if names else None

    def _catalog(self, store: ArtifactStore) -> Catalog:
        return self._catalogs.setdefault(store.path, Catalog(store, look_once=True))


def plan(preset: LoadedPreset, runtime: Runtime) -> Plan:
    """Return what `featuremill run` would do for `preset`; the source is scanned, nothing made."""
    found = Plan(preset.name)
    token = PLANNER.set(found)
    try:
        with named_for(preset.name), collector_paused():
            flow = importlib.import_module(f"flows.{preset.flow}").FLOW
            found.attempt(lambda: flow.fn(preset.settings, runtime))
    finally:
        PLANNER.reset(token)
    return found


def _circumstances(runtime: Runtime) -> Circumstances:
    return Circumstances(
        part_rows=runtime.part_rows,
        take_over=runtime.take_over,
        workers=runtime.workers,
        device=runtime.device,
    )
