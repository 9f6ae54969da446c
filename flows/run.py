"""A run: the artifacts of one flow, made or reused, with what it takes to tell the user."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from conf.dataset import DatasetRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from storage.drafts import Making
from storage.hashes import Hashes
from storage.store import Artifact, ArtifactStore
from tasks.models.load import resolve

if TYPE_CHECKING:
    from prefect import Task

R = TypeVar("R")


@dataclass(frozen=True)
class Made:
    """One artifact of a run."""

    name: str
    artifact: Artifact
    state: str
    """"Cached" when it was published before, "Completed" when this run published it."""
    rows_made: int
    """Rows that this run computed; the others were sealed before or taken over."""
    seconds: float
    note: str = ""
    """What the user should know of it, such as rows that failed."""

    @property
    def rows_computed(self) -> int:
        """The rows that took work: those of a ledger were written down, all of them."""
        return 0 if self.artifact.kind == DatasetRecipe.kind else self.rows_made

    def as_json(self) -> dict[str, Any]:
        """Return what a run's record and `--json` tell of it."""
        return {
            "name": self.name,
            "key": self.artifact.key,
            "state": self.state,
            "rows": self.artifact.rows,
            "rows_made": self.rows_made,
            "seconds": round(self.seconds, 3),
            "note": self.note,
        }


@dataclass(frozen=True)
class Table:
    """Something to read at the end of a run."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Planner(Protocol):
    """What a run asks instead of making anything, where only a plan is wanted."""

    def resolve(self, run: "Run", model: ModelSpec) -> ModelSpec:
        """Return `model`, its weights named where they are there."""

    def foresee(
        self, run: "Run", name: str, making: Making, changed: Callable[[Any], str] | None, note: str
    ) -> Artifact:
        """Return the handle of what `making` would make."""

    def attempt(self, step: Callable[[], Any]) -> None:
        """Go through `step` as far as what is stored allows."""

    def leave_out(self, absent: Mapping[str, str]) -> None:
        """Take down what a run would leave out, and why."""


_PRESET: ContextVar[str | None] = ContextVar("preset", default=None)
PLANNER: ContextVar[Planner | None] = ContextVar("planner", default=None)
"""Set while a flow is planned: its runs then make nothing."""


@contextmanager
def named_for(preset: str) -> Iterator[None]:
    """Let the artifacts of runs in this context be known by the preset's name, not the flow's."""
    token = _PRESET.set(preset)
    try:
        yield
    finally:
        _PRESET.reset(token)


def run_name(flow: str) -> Callable[[], str]:
    """Return what names the runs of `flow` on Prefect's page: by the preset that is run, or by the
    flow."""
    return lambda: _PRESET.get() or flow


@dataclass
class Run:
    """The artifacts that a flow has made so far."""

    name: str
    """The first word of its artifacts' names: the flow's, or that of the preset being run."""
    runtime: Runtime
    made: list[Made] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = _PRESET.get() or self.name
        self.store = ArtifactStore(self.runtime.store)
        if not PLANNER.get():
            from flows.making import Maker  # and with it Prefect, which a plan does without

            self._maker = Maker(self.name, self.runtime, self.store, self.made)

    def resolve(self, model: ModelSpec) -> ModelSpec:
        """Return `model` with its weights and library named exactly, so that a key can be made."""
        if planner := PLANNER.get():
            return planner.resolve(self, model)
        return self.resolved(model)

    def resolved(self, model: ModelSpec) -> ModelSpec:
        """Return `model` resolved, also where a plan is made; raises WeightsMissing."""
        with Hashes(self.runtime.store / "hashes.sqlite") as hashes:
            return resolve(model, self.runtime, hashes.sha256_of_file)

    def make(
        self, name: str, making: Making, part_task: "Task[..., Any]", *inputs: Any, **given: Any
    ) -> Artifact:
        """Return the artifact of `making`, published; all that is given is as `making` takes it."""
        with self.making(name, making, part_task, *inputs, **given) as artifact:
            return artifact

    @contextmanager
    def making(
        self,
        name: str,
        making: Making,
        part_task: "Task[..., Any]",
        *inputs: Any,
        check: "Task[..., Any] | None" = None,
        made: Mapping[str, Any] | None = None,
        note: str = "",
        changed: Callable[[Any], str] | None = None,
        **places: Any,
    ) -> Iterator[Artifact]:
        """Yield the artifact of `making`, whatever part of it is missing made by `part_task`;
        publish it on leaving, unless what was made meanwhile has failed.

        `part_task` is called as `part_task(recipe, *inputs, part=..., runtime=..., **places)`;
        `check` is called so, too, without a part, once before parts are published, also those of a
        run that ended.
        `changed` tells, for a plan, in words how this differs from an older one, which it is given
        as its reader.
        """
        if planner := PLANNER.get():
            yield planner.foresee(self, name, making, changed, note)
            return
        maker = self._maker
        with maker.making(name, making, part_task, inputs, check, made, note, places) as artifact:
            yield artifact

    def look(self, task: "Task[..., R]", *arguments: Any) -> R:
        """Return what `task` finds in the world; a plan looks too, without Prefect."""
        if PLANNER.get():
            return task.fn(*arguments, runtime=self.runtime)
        return self._maker.look(task, *arguments)

    def take(self, step: Callable[["Run"], Any]) -> None:
        """Take one step that does not need the others; a plan goes on where one cannot be seen
        through."""
        if planner := PLANNER.get():
            planner.attempt(lambda: step(self))
        else:
            step(self)

    def act(self, effect: Callable[[], Any]) -> None:
        """Do what others see, such as write an export or tell of an event; a plan does not."""
        if not PLANNER.get():
            effect()

    def leave_out(self, absent: Mapping[str, str]) -> None:
        """Say what this run does without, by name, and why: at its end, or in its plan."""
        if planner := PLANNER.get():
            planner.leave_out(absent)
        elif absent:
            names: dict[str, list[str]] = {}
            for name, why in absent.items():
                names.setdefault(why, []).append(name)
            rows = [(", ".join(of), why) for why, of in names.items()]
            title = "Left out; the same command makes it when what it needs is there"
            self.show(Table(title, ("left out", "why"), rows))

    def show(self, table: Table | Callable[[], Table]) -> None:
        """Have a table printed when the run is over; a plan does not even make it."""
        self.act(lambda: self.tables.append(table if isinstance(table, Table) else table()))

    def close(self) -> "Run":
        """Take down that the run has ended, leave a Prefect table of what it made, and return
        it."""
        if not PLANNER.get():
            self._maker.close()
        return self
