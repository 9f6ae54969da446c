"""The steps that durability rests on, each one observable.

Every write, fsync, rename and link of the store passes through `step`. A kill test sets an observer
that dies at the n-th moment; another test records the order. Nobody observes in production.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Moment = Literal["before", "after"]
Operation = Literal["write", "fsync-file", "fsync-directory", "rename", "link"]
Observer = Callable[[Moment, Operation, Path], None]

_observer: Observer | None = None


@contextmanager
def step(operation: Operation, path: Path) -> Iterator[None]:
    """Announce one operation on `path` before it happens and after it succeeded."""
    if _observer:
        _observer("before", operation, path)
    yield
    if _observer:
        _observer("after", operation, path)


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Let `observer` see every step of this process while the context lasts."""
    global _observer
    previous, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = previous
