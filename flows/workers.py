"""What a Dask worker does: before it works, `dask worker ADDRESS --preload flows.workers`, and for
each part that a run sends it."""

import atexit
import pickle
import signal
from contextlib import ExitStack
from contextvars import Context
from functools import lru_cache
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the run.

    Workers that a run has started share its terminal, and would die of the Ctrl-C that is to let
    them seal their parts. They end with the run, however that ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_task(settings: bytes, job: bytes, call: bytes) -> Any:
    """Return the state in which a task run ends, as `flows.dask_runner` has written it down.

    `settings` are Prefect's; `job` is the task with its flow's run; `call` the arguments. All are
    pickles of the run that this worker serves, sent by Dask, which carries nothing but pickles:
    none comes from a file, and whoever can reach a Dask scheduler can run code there anyhow.
    """
    from prefect.task_engine import run_task_sync

    task, context = pickle.loads(job)
    given = {**pickle.loads(call), "return_type": "state", "context": context}
    return _within(settings).copy().run(lambda: run_task_sync(task, **given))


@lru_cache
def _within(settings: bytes) -> Context:
    """Return a context in which Prefect has its settings, and a client of its server.

    Kept by the process: made for each part, as Prefect makes them, they took 0.1 s.
    """
    from prefect.context import SyncClientContext, hydrated_context

    held, context = ExitStack(), Context()

    def enter() -> None:
        held.enter_context(hydrated_context({"settings_context": pickle.loads(settings)}))
        held.enter_context(SyncClientContext())  # made within: it asks the settings for the server

    context.run(enter)
    atexit.register(context.run, held.close)
    return context
