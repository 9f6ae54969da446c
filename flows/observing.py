"""What Prefect's page shows of a run: progress while it works, and a table of what came of it.

Only inside a flow run: a plain call has nobody who watches. What cannot be told, because the server
has gone away perhaps, harms no run.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL

from flows.server import answers, is_back

FEW_PARTS = 4
"""So many parts are seen as task runs at one glance; more are told as a share, too."""
PAUSE_SECONDS = 5.0
"""Between two updates: each is a request to the server."""
SILENCE_SECONDS = 300.0
"""Between two updates where the first was not taken by a server that answers, but is locked
perhaps: Prefect tries a minute before it gives up."""

_log = logging.getLogger(__name__)


def artifact_key(*words: str) -> str:
    """Return a key that Prefect's page takes: lower case, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


@contextmanager
def watched(
    run: str, name: str, parts: int, sealed: int, count: Callable[[str], None]
) -> Iterator[Callable[[str], None]]:
    """Yield what is to be told of each part that is sealed: it calls `count`, and moves a progress
    artifact, at most one update in PAUSE_SECONDS.

    `parts` are all parts of the making `name`, of which `sealed` were there before.
    """
    if parts - sealed <= FEW_PARTS or not FlowRunContext.get():
        yield count
        return
    bar = _Bar(artifact_key(run, name, "progress"), f"{run}/{name}", parts, sealed)

    def told(part: str) -> None:
        count(part)
        bar.advance()

    try:
        yield told
    finally:
        bar.show()


class _Bar:
    """A progress artifact."""

    def __init__(self, key: str, title: str, parts: int, sealed: int) -> None:
        self._key, self._title, self._parts, self._sealed = key, title, parts, sealed
        self._began, self._before = time.monotonic(), sealed
        self._id: UUID | None = None
        self.show()

    def advance(self) -> None:
        """Count one part more, and show it where it is time to."""
        self._sealed += 1
        if time.monotonic() >= self._next:
            self.show()

    def show(self) -> None:
        """Tell Prefect how far it is, where its server answers."""
        if not _heard(answers):
            self._next = time.monotonic() + PAUSE_SECONDS
            return
        self._next = time.monotonic() + SILENCE_SECONDS
        share = 100 * self._sealed / self._parts
        with _harmless():
            if self._id is None:
                made = create_progress_artifact(share, self._key, self._description())
                self._id = cast(UUID, made)  # a coroutine in an asynchronous flow: ours are none
            else:
                update_progress_artifact(self._id, share, self._description())
            self._next = time.monotonic() + PAUSE_SECONDS

    def _description(self) -> str:
        told = f"{self._title}: {self._sealed:,} of {self._parts:,} parts"
        made, seconds = self._sealed - self._before, time.monotonic() - self._began
        if made and self._sealed < self._parts:
            left = seconds / made * (self._parts - self._sealed)
            told += f", about {left:,.0f} s left"
        return told


def leave_table(run: str, store: object, rows: Sequence[Mapping[str, Any]]) -> None:
    """Leave Prefect's page the table of a run: what was made, reused and failed.

    Called last in a run: a server that went away is waited for here, since what Prefect has to tell
    it of the run's end would fail the run.
    """
    if FlowRunContext.get() and _heard(is_back):
        states = [row["state"] for row in rows]
        reused, failed = states.count("Cached"), states.count("Failed")
        made = len(states) - reused - failed
        told = f"`{run}`: {made} made, {reused} reused, {failed} failed, in {store}"
        with _harmless():
            create_table_artifact(
                key=artifact_key("run", run),
                table=[dict(row) for row in rows],
                description=told,
            )


def _heard(by: Callable[[str], bool]) -> bool:
    """Whether Prefect's server answers, as `by` asks it: Prefect itself would try for a minute."""
    address = PREFECT_API_URL.value()
    return not address or by(address)  # without one, Prefect has its server in this process


@contextmanager
def _harmless() -> Iterator[None]:
    """Go on where Prefect's server does not answer: what is made does not depend on it."""
    try:
        yield
    except Exception as problem:  # any: httpx's, Prefect's, a proxy's
        _log.warning("Prefect was not told: %s", problem)
