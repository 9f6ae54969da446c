"""The parts of one making: handed to a task runner, a few at a time, and what failed told."""

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from conf.errors import FeaturemillError, Stopped, WorldError
from conf.runtime import Runtime
from storage.drafts import Draft, Making
from tasks.checkpoint import stop_requested


class PartsFailed(FeaturemillError):
    """Some parts of an artifact could not be made; the others are sealed."""


def task_runner(runtime: Runtime) -> TaskRunner[Any]:
    """Return the runner that `runtime` names, set to make so many parts at once."""
    return ThreadPoolTaskRunner(max_workers=runtime.workers)


def submitter(
    runner: TaskRunner[Any],
    part_task: Task[..., Any],
    making: Making,
    inputs: tuple[Any, ...],
    places: Mapping[str, Any],
) -> Callable[[str], PrefectFuture[Any]]:
    """Return what hands one part, by its name, to `runner`."""
    positional = [name for name in inspect.signature(part_task.fn).parameters][: len(inputs) + 1]
    given = dict(zip(positional, (making.recipe, *inputs), strict=True)) | dict(places)

    def begin(part: str) -> PrefectFuture[Any]:
        future: PrefectFuture[Any] = runner.submit(part_task, given | {"part": part})
        return future

    return begin


def make_all(
    pending: list[str], begin: Callable[[str], PrefectFuture[Any]], window: int
) -> dict[str, Exception]:
    """Make all parts, at most `window` of them handed out at once; return what failed, by part.

    What the world did to one part does not keep others from being made; any other error stops at
    once.
    """
    waiting, running = deque(pending), deque[tuple[str, PrefectFuture[Any]]]()
    failed: dict[str, Exception] = {}
    while waiting or running:
        while waiting and len(running) < window:
            part = waiting.popleft()
            running.append((part, begin(part)))
        part, future = running.popleft()
        future.wait()
        if problem := _problem(future):
            failed[part] = problem
        if stop_requested.is_set() or not all(isinstance(p, WorldError) for p in failed.values()):
            waiting.clear()
    return failed


def _problem(future: PrefectFuture[Any]) -> Exception | None:
    if future.state.is_completed():
        return None
    found = future.result(raise_on_failure=False)
    told = future.state.message or f"it ended as {future.state.name}"
    return found if isinstance(found, Exception) else RuntimeError(told)


def explain(name: str, draft: Draft, failed: Mapping[str, Exception]) -> Exception:
    """Return what a run ends with that has not made all parts: what failed, what is kept, what to
    do."""
    sealed, parts = len(draft.sealed()), len(draft.part_rows)
    kept = f"{sealed} of {parts} parts of {name} are sealed in {draft.path}"
    real = [problem for problem in failed.values() if not isinstance(problem, Stopped)]
    if not real:
        return Stopped(f"Stopped. {kept}; run the same command to make the others.")
    for problem in real:
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
