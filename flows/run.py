"""A run: the artifacts of one flow, made or reused, with what it takes to tell the user."""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect.utilities.annotations import quote

from conf.dataset import DatasetRecipe
from conf.keys import Frozen, held_rows
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.observing import leave_table, watched
from flows.parts import explain, make_all, submitter, wait_for
from flows.runners import started, stays_here
from storage.drafts import Draft, Making
from storage.hashes import Hashes
from storage.publishing import driving
from storage.runs import Runs
from storage.store import Artifact, ArtifactStore
from tasks.checkpoint import check_not_stopped, seal_into, stop_requested
from tasks.models.load import resolve
from tasks.progress import advance, progress, say

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
        self._runs = Runs(self.store.path)
        self._held = ExitStack()  # freed by `close`, or with this run when its flow has failed
        self._runners: dict[str, TaskRunner[Any]] = {}
        if not PLANNER.get():
            self.store.check_writable()
            given = self.runtime.model_dump(mode="json")
            recording = self._runs.recording(self.name, *_asked(), given)
            self._record = self._held.enter_context(recording)

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
        self, name: str, making: Making, part_task: Task[..., Any], *inputs: Any, **given: Any
    ) -> Artifact:
        """Return the artifact of `making`, published; all that is given is as `making` takes it."""
        with self.making(name, making, part_task, *inputs, **given) as artifact:
            return artifact

    @contextmanager
    def making(
        self,
        name: str,
        making: Making,
        part_task: Task[..., Any],
        *inputs: Any,
        check: Task[..., Any] | None = None,
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
        began, place = time.perf_counter(), len(self.made)
        with ExitStack() as driven:
            with self._telling(name, making):
                draft = driven.enter_context(self._driving(name, making))
                rows_made = self._fill(name, draft, making, part_task, inputs, check, places)
            paused = time.perf_counter()
            yield self.store.handle(making.key, held_rows(making.recipe, len(making.rows)))
            began += time.perf_counter() - paused
            with self._telling(name, making):
                state: State[Artifact] = seal_into(self.runtime.store)(
                    making.recipe, making.inputs, runtime=self.runtime, made=made, return_state=True
                )
                artifact: Artifact = state.result()
        self.store.refs.set(f"{self.name}/{name}", artifact.key)
        seconds = time.perf_counter() - began
        one = Made(name, artifact, state.name or "", rows_made, seconds, note)
        self.made.insert(place, one)

    def _driving(self, name: str, making: Making) -> AbstractContextManager[Draft | None]:
        return driving(
            self.store,
            making,
            part_rows=self.runtime.part_rows,
            take_over=self.runtime.take_over,
            on_wait=_say_waiting(name),
        )

    def _fill(
        self,
        name: str,
        draft: Draft | None,
        making: Making,
        part_task: Task[..., Any],
        inputs: tuple[Any, ...],
        check: Task[..., Any] | None,
        places: Mapping[str, Any],
    ) -> int:
        """Make what `draft` lacks, have it checked, and return how many rows were made."""
        if draft is None:
            return 0
        units = self._make_parts(name, draft, making, part_task, inputs, places)
        if making.rows and check:
            begin = self._submitter(check, making, inputs, places)
            wait_for(begin(), f"the check of {name}")
        return held_rows(making.recipe, units)

    @contextmanager
    def _telling(self, name: str, making: Making) -> Iterator[None]:
        """Leave Prefect a table that ends with what failed, where the making of `name` does."""
        began = time.perf_counter()
        try:
            yield
        except Exception as problem:
            failed = {
                "artifact": name,
                "state": "Failed",
                "rows": held_rows(making.recipe, len(making.rows)),
                "seconds": round(time.perf_counter() - began, 2),
                "note": str(problem),
                "key": str(making.key),
            }
            rows = [*map(_table_row, self.made), _empty_row() | failed]
            leave_table(self.name, self.runtime.store, rows)
            raise

    def _make_parts(
        self,
        name: str,
        draft: Draft,
        making: Making,
        part_task: Task[..., Any],
        inputs: tuple[Any, ...],
        places: Mapping[str, Any],
    ) -> int:
        pending = draft.pending()
        rows = sum(len(draft.rows_of(part)) for part in pending)
        if not pending:
            return 0
        with progress(
            str(draft.key),
            len(making.rows),
            done=len(making.rows) - rows,
            title=name,
            is_shown=self.runtime.progress,
        ):
            begin = self._submitter(part_task, making, inputs, places)
            window, count = 2 * self.runtime.workers, self._counter(draft, places)
            parts = len(draft.part_rows)
            with watched(self.name, name, parts, parts - len(pending), count) as sealed:
                failed = make_all(pending, lambda part: begin(part=part), window, sealed)
        if failed or (stop_requested.is_set() and draft.pending()):
            raise explain(name, draft, failed)
        return rows

    def _submitter(
        self,
        task: Task[..., R],
        making: Making,
        inputs: tuple[Any, ...],
        places: Mapping[str, Any],
    ) -> Callable[..., PrefectFuture[R]]:
        """Return what hands `task` to threads of this process, or to workers elsewhere."""
        here = stays_here(self.runtime, places)
        runtime = self.runtime.model_copy(
            update={"runner": "threads"} if here else {"store_uuid": self.store.uuid}
        )
        given = {**places, "runtime": runtime}
        return submitter(self._runner(runtime), task, making, inputs, given)

    def _runner(self, runtime: Runtime) -> TaskRunner[Any]:
        """Return the runner of `runtime`, started once a run: its workers keep their models."""
        if runtime.runner not in self._runners:
            runner = self._held.enter_context(started(runtime))
            self._runners[runtime.runner] = runner
        return self._runners[runtime.runner]

    def _counter(self, draft: Draft, places: Mapping[str, Any]) -> Callable[[str], None]:
        """Return what moves the bar for parts made in other processes; threads move it alone."""
        if stays_here(self.runtime, places):
            return lambda part: None
        return lambda part: advance(str(draft.key), len(draft.rows_of(part)))

    def look(self, task: Task[..., R], *arguments: Any) -> R:
        """Return what `task` finds in the world; a plan looks too, without Prefect."""
        if PLANNER.get():
            return task.fn(*arguments, runtime=self.runtime)
        # Quoted: Prefect would look for futures in every cell of a ledger.
        given = {"runtime": self.runtime, "return_state": True}
        state = cast(State[R], task(*map(quote, arguments), **given))
        return state.result()

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
        if PLANNER.get():
            return self
        self._runs.end(self._record, [made.as_json() for made in self.made])
        self._held.close()
        leave_table(self.name, self.runtime.store, [_table_row(made) for made in self.made])
        return self


def _say_waiting(name: str) -> Callable[[str], None]:
    told: list[str] = []

    def waiting(holder: str) -> None:
        check_not_stopped()
        if not told:
            say(f"{name}: another run is making it ({holder}); waiting for that one to finish.")
        told.append(holder)

    return waiting


def _asked() -> tuple[str, dict[str, Any]]:
    """Return the stem of the flow that runs now and its settings, where a preset could say them."""
    context = FlowRunContext.get()
    given = (context.parameters or {}).get("preset") if context else None
    if context is None or context.flow is None or not isinstance(given, Frozen):
        return "", {}
    file = inspect.getsourcefile(context.flow.fn)
    return Path(file or "").stem, given.model_dump(mode="json")


def _table_row(made: Made) -> dict[str, Any]:
    return {
        "artifact": made.name,
        "state": made.state,
        "rows": made.artifact.rows,
        "rows made": made.rows_made,
        "rows/s": round(made.rows_made / made.seconds, 1) if made.rows_made else None,
        "seconds": round(made.seconds, 2),
        "note": made.note,
        "key": made.artifact.key,
    }


def _empty_row() -> dict[str, Any]:
    return dict.fromkeys(
        ("artifact", "state", "rows", "rows made", "rows/s", "seconds", "note", "key")
    )
