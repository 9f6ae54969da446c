"""The Prefect server of one command: started for it, ended with it, where none is configured.

Prefect would start one of its own; that one dies of the Ctrl-C that is meant for the run (it shares
the terminal's process group), outlives a killed run, and loses task records at its end.
"""

import ctypes
import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.client import HTTPException
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

from conf.errors import FeaturemillError, WorldError

START_SECONDS = 120
PATIENCE_SECONDS = 30.0
"""How long a run counts on a server that went away: one that is restarted is back by then."""
_LOOK_SECONDS = 2.0
"""Between two looks at the server of a run."""
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_UNNEEDED = ("SCHEDULER", "LATE_RUNS", "FOREMAN", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS")
"""Services for deployments and their workers, which a server that ends with its run has none of."""
_LEAN = {
    **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _UNNEEDED},
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


class ServerMissing(WorldError):
    """Prefect's server did not start, or the configured one does not answer."""


@contextmanager
def prefect_server(meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Yield the address of the API: the configured one, or that of a server started for this
    context.

    `meanwhile` is called first, while a server starts: that takes seconds.
    """
    port = _free_port()
    address = f"http://127.0.0.1:{port}/api"
    process = None
    if "prefect" not in sys.modules and not os.environ.get("PREFECT_API_URL"):
        process = _start(port)  # before Prefect is imported to ask: that takes a second more
    try:
        if configured := _configured():
            if process:  # a profile or a file names one
                process.kill()
            meanwhile()
            with _told_when_lost(configured):
                yield configured
            return
        process = process or _start(port)
        importlib.import_module("flows.making")  # takes seconds, too
        meanwhile()
        _wait(process, address)
        with _calls_go_to(address), _told_when_lost(address):
            yield address
    finally:
        if process:
            _end(process)


def _configured() -> str | None:
    """Return the address that the user has set, None where there is none; raises ServerMissing
    where nobody answers."""
    from prefect.settings import PREFECT_API_URL

    logging.getLogger("EventsWorker").setLevel(logging.ERROR)  # else it warns of what it waits for
    configured = PREFECT_API_URL.value()
    if configured and not answers(str(configured)):
        raise ServerMissing(
            f"{silent(str(configured))}, or unset the variable: a run then starts its own."
        )
    return str(configured) if configured else None


def _calls_go_to(address: str) -> AbstractContextManager[object]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    return temporary_settings({PREFECT_API_URL: address})


class ServerLost(WorldError):
    """Prefect's server went away while a run was at work."""


@contextmanager
def _told_when_lost(address: str) -> Iterator[None]:
    """Raise ServerLost for an error that came of it that the server is gone."""
    try:
        with _patient(address):
            yield
    except FeaturemillError:
        raise
    except Exception as problem:
        if answers(address):
            raise
        raise ServerLost(
            f"The Prefect server at {address} went away during the run ({problem}). What was "
            "sealed is kept. Start it again (`prefect server start`), or unset PREFECT_API_URL: a "
            "run then starts its own. Then `featuremill resume`, or the same command, makes only "
            "what is missing."
        ) from problem
    finally:
        if not answers(address):
            _drop_events()


@contextmanager
def _patient(address: str) -> Iterator[None]:
    """Have no call to the server tried again once it has been silent for PATIENCE_SECONDS.

    Prefect tries every call again for a minute, and a run makes several at its end.
    """
    from prefect.settings import temporary_settings

    over = threading.Event()
    with temporary_settings() as settings:  # read anew by Prefect's client before each retry
        looking = (address, settings.client, over)
        threading.Thread(target=_look, args=looking, name="patience", daemon=True).start()
        try:
            yield
        finally:
            over.set()


def _look(address: str, client: Any, over: threading.Event) -> None:
    """Set how often Prefect's `client` tries again by what the server does, until it is over."""
    retries, heard = client.max_retries, time.monotonic()
    while not over.wait(_LOOK_SECONDS):
        if answers(address):
            client.max_retries, heard = retries, time.monotonic()
        elif time.monotonic() - heard > PATIENCE_SECONDS:
            client.max_retries = 0


def is_back(address: str) -> bool:
    """Whether a server answers at `address`; one that does not is given PATIENCE_SECONDS to, unless
    it is known to be gone."""
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

    from tasks.progress import say

    told, deadline = False, time.monotonic() + PATIENCE_SECONDS
    while not answers(address):
        if not PREFECT_CLIENT_MAX_RETRIES.value() or time.monotonic() > deadline:
            return False
        if not told:
            say(f"The Prefect server at {address} does not answer; waiting for it to come back.")
            told = True
        time.sleep(0.5)
    return True


def _drop_events() -> None:
    """Forget what nobody is there to be told: Prefect would try for seconds with every event."""
    from prefect.events.worker import EventsWorker

    workers: dict[int, Any] = getattr(EventsWorker, "_instances", {})  # and those of its logs
    for worker in list(workers.values()):
        with suppress(Empty):
            while True:
                worker._queue.get_nowait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "prefect", "server", "start"]
    return subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | _LEAN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform.startswith("linux") else None,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if answers(address):
            return
        time.sleep(0.1)
    raise ServerMissing(
        "Prefect's server did not start "
        f"{'and ended with code ' + str(process.returncode) if process.returncode else 'in time'}. "
        "Start one to see why, `prefect server start`, and name it: "
        "export PREFECT_API_URL=http://127.0.0.1:4200/api"
    )


def silent(address: str) -> str:
    """Return what to say of a configured server that does not answer, and how to start it."""
    place = urlsplit(address)
    port = f" --port {place.port}" if place.port else ""
    start = f"`prefect server start --host {place.hostname}{port}`"
    return (
        f"PREFECT_API_URL names {address}, and no Prefect server answers there. Start it: {start}"
    )


def answers(address: str) -> bool:
    """Whether a Prefect server answers at the address of its API."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # loopback
            return bool(answer.status == 200)
    except (OSError, HTTPException):  # the second of a server that ends amid its answer
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server when it has taken up what this process still had to tell it."""
    if process.poll() is None:
        # In a thread of its own: beside an event loop, as in a notebook, Prefect would not wait.
        drain = threading.Thread(target=_drain, name="drain")
        drain.start()
        drain.join()
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _drain() -> None:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=5)
    APILogWorker.drain_all(timeout=5)
