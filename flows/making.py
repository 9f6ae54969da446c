"""The making of a run's artifacts: drafts filled part by part through Prefect, sealed, and told.

Beside `flows.run` because it imports Prefect, which a plan does without.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect.utilities.annotations import quote

from conf.keys import Frozen, held_rows
from conf.runtime import Runtime
from flows.observing import leave_table, watched
from flows.parts import explain, make_all, submitter, wait_for
from flows.run import Made
from flows.runners import started, stays_here
from storage.drafts import Draft, Making
from storage.publishing import driving
from storage.runs import Runs
from storage.store import Artifact, ArtifactStore
from tasks.checkpoint import seal_into
from tasks.progress import advance, progress, say
from tasks.stopping import check_not_stopped, stop_requested

R = TypeVar("R")


@dataclass
class Maker:
    """What a run that is no plan has its artifacts made by; raises where its store takes nothing.

    It knows nothing of the run: so both are gone, and what is held is free, when a flow has failed.
    """

    name: str
    """That of the run."""
    runtime: Runtime
    store: ArtifactStore
    made: list[Made]
    """What the run has made so far, in the order of its flow; added to here."""

    def __post_init__(self) -> None:
        self.store.check_writable()
        self._runs = Runs(self.store.path)
        self._held = ExitStack()  # freed by `close`, or with this
        self._runners: dict[str, TaskRunner[Any]] = {}
        given = self.runtime.model_dump(mode="json")
        recording = self._runs.recording(self.name, *_asked(), given)
        self._record = self._held.enter_context(recording)

    @contextmanager
    def making(
        self,
        name: str,
        making: Making,
        part_task: Task[..., Any],
        inputs: tuple[Any, ...],
        check: Task[..., Any] | None,
        made: Mapping[str, Any] | None,
        note: str,
        places: Mapping[str, Any],
    ) -> Iterator[Artifact]:
        """Yield the artifact of `making`, and publish it on leaving; all is as `Run.making` has
        it."""
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
        """Return what `task` finds in the world."""
        # Quoted: Prefect would look for futures in every cell of a ledger.
        given = {"runtime": self.runtime, "return_state": True}
        state = cast(State[R], task(*map(quote, arguments), **given))
        return state.result()

    def close(self) -> None:
        """Take down that the run has ended, and leave a Prefect table of what it made."""
        self._runs.end(self._record, [made.as_json() for made in self.made])
        self._held.close()
        leave_table(self.name, self.runtime.store, [_table_row(made) for made in self.made])


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
