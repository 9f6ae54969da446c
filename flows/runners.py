"""Where parts are made: threads of this process, or the processes of a Dask or Ray cluster."""

import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from conf.errors import RecipeError, WorldError
from conf.runtime import Runtime

WORKER_SETUP = "flows.workers"
"""The module that a Dask worker loads first: `dask worker ADDRESS --preload flows.workers`."""
CONNECT_SECONDS = 20
"""How long a cluster that exists may take to answer."""
_UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing-interval": "5s",
}
"""What Dask would keep taking down, by default a hundred times a second in every process, for a
dashboard: the workers that a run starts have none, and share their cores with this."""


class ClusterMissing(WorldError):
    """The cluster that the runtime names does not answer, or has no worker."""


def task_runner(runtime: Runtime) -> TaskRunner[Any]:
    """Return the runner that `runtime` names, set to make so many parts at once.

    Raises RecipeError when the extra that it needs is not installed.
    """
    if runtime.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=runtime.workers)
    _check_installed(runtime.runner)
    return _dask(runtime) if runtime.runner == "dask" else _ray(runtime)


@contextmanager
def started(runtime: Runtime) -> Iterator[TaskRunner[Any]]:
    """Yield the runner of `runtime`, ready for parts; raises ClusterMissing where none can be
    made."""
    runner = task_runner(runtime)
    if runtime.runner == "ray" and runtime.cluster:
        _check_ray_answers(runtime.cluster)
    with ExitStack() as held:
        try:
            held.enter_context(runner)
        except ConnectionError as problem:  # Ray's, of a cluster that wants a token perhaps
            raise ClusterMissing(
                f"The {runtime.runner} cluster {runtime.cluster} did not take this run: {problem}. "
                "If it asks for a token: export RAY_AUTH_MODE=token, with the head's "
                "~/.ray/auth_token here, too."
            ) from problem
        if runtime.runner == "dask" and runtime.cluster:
            _check_dask(runner, runtime.cluster)
        yield runner


def stays_here(runtime: Runtime, places: Mapping[str, Any]) -> bool:
    """Whether parts made with `places` are made by this process.

    What is quoted is a large object, such as a ledger, and not a handle: it is not sent to others.
    """
    return runtime.runner == "threads" or any(isinstance(v, quote) for v in places.values())


def _check_installed(runner: str) -> None:
    missing = [
        name for name in (runner, f"prefect_{runner}") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise RecipeError(
            f"runtime.runner = {runner!r} needs {' and '.join(missing)}, which this environment "
            f"lacks. Install the extra, pip install -c constraints.txt -e '.[{runner}]', or let "
            'threads of one process make the parts: runtime.runner = "threads".'
        )


def _dask(runtime: Runtime) -> TaskRunner[Any]:
    import dask

    dask.config.set({"logging.distributed": "error"})  # read when the next line is first run
    from flows.dask_runner import PartsRunner

    if runtime.cluster:
        return PartsRunner(
            address=runtime.cluster, client_kwargs={"timeout": f"{CONNECT_SECONDS}s"}
        )
    dask.config.set(_UNWATCHED)
    return PartsRunner(
        cluster_kwargs={
            "n_workers": runtime.workers,
            "threads_per_worker": 1,  # a part has its own lanes
            "processes": True,
            "host": "127.0.0.1",
            "dashboard_address": None,
            "memory_limit": None,  # Dask would kill a worker whose model is large
            "preload": [WORKER_SETUP],
        }
    )


def _ray(runtime: Runtime) -> TaskRunner[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls out
    from prefect_ray import RayTaskRunner

    given: dict[str, Any] = {"logging_level": logging.ERROR}
    if not runtime.cluster:
        given |= {
            "num_cpus": runtime.workers,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    runner: TaskRunner[Any] = RayTaskRunner(address=runtime.cluster, init_kwargs=given)
    return runner


def _check_dask(runner: Any, address: str) -> None:
    """Raise ClusterMissing unless a worker waits there: Dask itself would wait for one forever."""
    begin = f"`dask worker {address} --nthreads 1 --preload {WORKER_SETUP}`"
    try:
        client = runner.client
    except (OSError, ValueError) as problem:
        raise ClusterMissing(
            f"runtime.cluster names {address}, and no Dask scheduler answers there within "
            f"{CONNECT_SECONDS} s. Start it (`dask scheduler`) and its workers ({begin}), or leave "
            "runtime.cluster out: a run then starts workers of its own on this machine."
        ) from problem
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise ClusterMissing(
            f"The Dask scheduler at {address} has no worker. Start one on each machine that shares "
            f"the store: {begin}."
        ) from None


def _check_ray_answers(address: str) -> None:
    """Raise ClusterMissing unless something listens there: Ray would try for two minutes, and then
    end this process."""
    place = urlsplit(address if "//" in address else f"//{address}")
    try:
        with socket.create_connection((place.hostname, place.port), timeout=CONNECT_SECONDS):
            return
    except (OSError, ValueError) as problem:
        raise ClusterMissing(
            f"runtime.cluster names {address}, and no Ray cluster answers there ({problem}). Start "
            "one (`ray start --head --port 6379`, on other machines `ray start --address "
            "HOST:6379`) and name its HOST:6379, or leave runtime.cluster out: a run then starts "
            "workers of its own on this machine."
        ) from problem


def died_of_it(problem: object) -> bool:
    """Whether a task's end is told by Ray, not by the task: its worker died of it, or is gone.

    Dask raises such an error, and Ray gives it as the task's own.
    """
    ray = sys.modules.get("ray.exceptions")
    return ray is not None and isinstance(problem, ray.RayError)
