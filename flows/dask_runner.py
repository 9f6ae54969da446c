"""Dask's task runner as Prefect has it, for many task runs of which only a few arguments differ."""

import pickle
from typing import Any
from uuid import uuid4

import cloudpickle
from prefect import Task
from prefect.context import serialize_context
from prefect.utilities.engine import collect_task_run_inputs_sync
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from flows.workers import run_task


class PartsRunner(DaskTaskRunner):
    """Writes down once what all parts of a run share: Prefect's settings, the flow's run, the task.

    `DaskTaskRunner` does so for every part, and hashes it all for a name: 0.06 s of the process
    that also schedules; and a worker took 0.1 s to read it.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._shared: dict[Task[..., Any], tuple[bytes, bytes]] = {}

    def submit(
        self, task: Any, parameters: dict[str, Any], wait_for: Any = None, dependencies: Any = None
    ) -> Any:
        """Hand `task` to a worker, and return its future."""
        if wait_for or dependencies:  # parts have neither
            return super().submit(task, parameters, wait_for, dependencies)
        run = uuid4()
        inputs = {name: collect_task_run_inputs_sync(value) for name, value in parameters.items()}
        call = {"task_run_id": run, "parameters": parameters, "dependencies": inputs}
        job = (*self._shared_by(task), cloudpickle.dumps(call))
        client: Any = self.client
        future = client.submit(run_task, *job, key=f"{task.name}-{run}", pure=False)
        return PrefectDaskFuture[Any](wrapped_future=future, task_run_id=run)

    def _shared_by(self, task: Task[..., Any]) -> tuple[bytes, bytes]:
        """Return Prefect's settings, and `task` with its flow's run, as `run_task` reads them."""
        if task not in self._shared:
            context = serialize_context()
            settings = pickle.dumps(context.pop("settings_context"))
            self._shared[task] = settings, cloudpickle.dumps((task, context))
        return self._shared[task]
