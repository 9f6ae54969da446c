"""What a Dask worker does for each part that a run sends it."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import cloudpickle
import pytest
from prefect import flow
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext

from flows import workers
from flows.dask_runner import PartsRunner
from tasks.checkpoint import part_task


@part_task
def double(number: int, *, part: str) -> int:
    """Return twice `number`; only where it is odd."""
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return 2 * number


def elsewhere(job: tuple[bytes, bytes], **parameters: Any) -> State[Any]:
    """Return what a worker, which knows nothing of the run, makes of one call."""
    call = {"task_run_id": uuid4(), "parameters": parameters, "dependencies": {}}
    made: list[State[Any]] = []

    def work() -> None:
        made.append(workers.run_task(*job, cloudpickle.dumps(call)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


@pytest.mark.usefixtures("prefect_harness")
def test_a_worker_reads_prefects_settings_once_and_its_task_runs_are_those_of_the_flow(
    ended_tasks: Callable[[UUID, int], list[TaskRun]],
) -> None:
    workers._within.cache_clear()

    @flow
    def parts() -> tuple[UUID, list[State[Any]]]:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        runner: Any = PartsRunner()
        job = runner._shared_by(double)
        assert runner._shared_by(double) is job
        return context.flow_run.id, [elsewhere(job, number=at, part=str(at)) for at in (1, 3, 4)]

    flow_run, states = parts()
    assert [state.name for state in states] == ["Completed", "Completed", "Failed"]
    assert states[1].result() == 6
    assert states[2].message == "ValueError: 4 is even"
    assert (workers._within.cache_info().misses, workers._within.cache_info().hits) == (1, 2)
    seen = ended_tasks(flow_run, 3)
    assert {run.name for run in seen} == {"double 1", "double 3", "double 4"}
    assert {run.id for run in seen} == {state.state_details.task_run_id for state in states}
