"""The parts of one making: handed to a task runner, a few at a time, and what failed told."""

import inspect
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError as Cancelled
from functools import partial
from queue import SimpleQueue
from typing import Any

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from conf.errors import FeaturemillError, InputRefused, Stopped, WorldError
from flows.runners import died_of_it
from storage.drafts import Draft, Making
from tasks.stopping import stop_requested


class PartsFailed(FeaturemillError):
    """Some parts of an artifact could not be made; the others are sealed."""


class WorkerLost(WorldError):
    """The processes that took a part died of it, or went away with their cluster."""


def submitter(
    runner: TaskRunner[Any],
    task: Task[..., Any],
    making: Making,
    inputs: tuple[Any, ...],
    places: Mapping[str, Any],
) -> Callable[..., PrefectFuture[Any]]:
    """Return what hands `task` to `runner`, with `places` and what else it is called with."""
    positional = [name for name in inspect.signature(task.fn).parameters][: len(inputs) + 1]
    given = dict(zip(positional, (making.recipe, *inputs), strict=True)) | dict(places)

    def begin(**part: str) -> PrefectFuture[Any]:
        future: PrefectFuture[Any] = runner.submit(task, given | part)
        return future

    return begin


def wait_for(future: PrefectFuture[Any], what: str) -> None:
    """Return when `future` is done; raises what it failed of."""
    if problem := _problem(future, what):
        raise problem


def make_all(
    pending: list[str],
    begin: Callable[[str], PrefectFuture[Any]],
    window: int,
    on_sealed: Callable[[str], None],
) -> dict[str, Exception]:
    """Make all parts, at most `window` of them handed out at once; return what failed, by part.

    What the world did to one part does not keep others from being made; any other error stops at
    once. `on_sealed` is told the name of each part that was made.
    """
    waiting, running = deque(pending), 0
    done: SimpleQueue[tuple[str, PrefectFuture[Any]]] = SimpleQueue()
    failed: dict[str, Exception] = {}
    while waiting or running:
        while waiting and running < window:
            part = waiting.popleft()
            begin(part).add_done_callback(partial(_put, done, part))
            running += 1
        part, future = done.get()  # whichever is first: a slow part keeps no worker idle
        running -= 1
        if problem := _problem(future, f"part {part}"):
            failed[part] = problem
        else:
            on_sealed(part)
        if stop_requested.is_set() or not all(isinstance(p, WorldError) for p in failed.values()):
            waiting.clear()
    return failed


def _put(
    done: SimpleQueue[tuple[str, PrefectFuture[Any]]], part: str, future: PrefectFuture[Any]
) -> None:
    done.put((part, future))


def _problem(future: PrefectFuture[Any], what: str) -> Exception | None:
    future.wait()
    try:
        found = future.result(raise_on_failure=False)
    except (Exception, CancelledError, Cancelled) as problem:  # not of the task: of its worker
        return _lost(what, problem)
    if future.state.is_completed():
        return None
    if died_of_it(found):
        return _lost(what, found)
    told = future.state.message or f"it ended as {future.state.name}"
    return found if isinstance(found, Exception) else RuntimeError(told)


def _lost(what: str, problem: BaseException) -> WorkerLost:
    told = str(problem).rstrip(".")
    return WorkerLost(
        f"no worker finished {what}: {type(problem).__name__}, {told}. A worker that "
        "dies again and again is mostly out of memory: fewer workers, a smaller batch_size or "
        "smaller part_rows need less"
    )


def explain(name: str, draft: Draft, failed: Mapping[str, Exception]) -> Exception:
    """Return what a run ends with that has not made all parts: what failed, what is kept, what to
    do."""
    sealed, parts = len(draft.sealed()), len(draft.part_rows)
    kept = f"{sealed} of {parts} parts of {name} are sealed in {draft.path}"
    real = [problem for problem in failed.values() if not isinstance(problem, Stopped)]
    if not real:
        return Stopped(f"Stopped. {kept}; run the same command to make the others.")
    for problem in real:
        if isinstance(problem, InputRefused):
            return problem  # on which the draft is removed by who drives it
        if not isinstance(problem, WorldError):
            if sealed:
                problem.add_note(f"{kept}; they are kept, and the next run makes only the others.")
            else:
                draft.discard()
            return problem
    told = "; ".join(dict.fromkeys(str(problem).rstrip(".") for problem in real[:3]))
    raised = PartsFailed(
        f"{len(real)} parts of {name} could not be made: {told}. {kept}; run the same command to "
        f"try the "
        "others again."
    )
    raised.__cause__ = real[0]
    return raised
