"""Deaths: which moment a child is killed at, and the processes that live and die."""

import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.steps import Moment, Observer, Operation

RANDOM = "at a random moment"

_TEMPORARY = re.compile(r"\.([^/]+)\.[0-9a-f]{8}\.tmp")
_PART = re.compile(r"[a-z][a-z0-9-]*-v[0-9]+-[0-9a-f]{16}\.[0-9]{5}")
_KEY = re.compile(r"[a-z][a-z0-9-]*-v[0-9]+-[0-9a-f]{16}")


@dataclass(frozen=True)
class Spot:
    """A named step: what is done to what, and whether it is about to be done or was."""

    moment: Moment
    operation: Operation
    what: str
    """The path in the store, keys, part numbers and temporary names taken out of it."""

    @classmethod
    def of(cls, moment: Moment, operation: Operation, path: Path, store: Path) -> "Spot":
        """Return the spot that an observer was told of."""
        place = os.path.relpath(path, store)
        for pattern, name in ((_TEMPORARY, r"\1"), (_PART, "PART"), (_KEY, "KEY")):
            place = pattern.sub(name, place)
        return cls(moment, operation, place)

    @property
    def step(self) -> str:
        """The step without its moment: a line of the table."""
        return f"{self.operation} {self.what}"


@dataclass(frozen=True)
class Death:
    """One way to die: at the n-th time that a spot is passed, or some seconds after birth."""

    spot: Spot | None = None
    occurrence: int = 1
    delay_seconds: float | None = None

    @property
    def step(self) -> str:
        """The line of the table that it counts in."""
        return self.spot.step if self.spot else RANDOM


def schedule(passed: Sequence[Spot]) -> list[Death]:
    """Return a death for every moment in `passed`: the first of every kind, then the second."""
    times: Counter[Spot] = Counter()
    deaths = []
    for spot in passed:
        times[spot] += 1
        deaths.append(Death(spot, times[spot]))
    return sorted(deaths, key=lambda death: death.occurrence)


def killer(death: Death, store: Path) -> Observer:
    """Return an observer that kills its own process where `death` says."""
    left = death.occurrence

    def observe(moment: Moment, operation: Operation, path: Path) -> None:
        nonlocal left
        if death.spot == Spot.of(moment, operation, path, store):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return observe


def forked(work: Callable[[], object], answer: Path) -> int:
    """Return the process id of a child that does `work` and leaves what it returned in `answer`.

    What it raised goes there too, as text. The child runs no exit handlers of its parent.
    """
    answer.unlink(missing_ok=True)
    process = os.fork()
    if process:
        return process
    try:
        answer.write_text(json.dumps({"returned": work()}))
    except BaseException:
        answer.write_text(json.dumps({"raised": traceback.format_exc()}))
    finally:
        sys.stdout.flush()
        os._exit(0)


def ended(process: int, delay_seconds: float | None = None) -> bool:
    """Return whether `process` was killed, after waiting for its end; after a delay, kill it."""
    if delay_seconds is not None:
        time.sleep(delay_seconds)
        os.kill(process, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def is_over(process: int) -> bool:
    """Return whether `process` has ended; it is reaped then."""
    return os.waitpid(process, os.WNOHANG)[0] != 0


def answered(answer: Path) -> tuple[object, str | None]:
    """Return what a child returned, and the traceback of what it raised or None."""
    content = json.loads(answer.read_text()) if answer.exists() else {"raised": "it left no answer"}
    return content.get("returned"), content.get("raised")
