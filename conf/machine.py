"""What this machine offers: its cores, and the packages installed on it."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version(name: str) -> str | None:
    """Return the version of an installed package, which is not imported; None where it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cores() -> int:
    """Return how many processor cores this process may use; a container may grant it few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for cycles meanwhile, where many objects are made and none has any.

    It looks again and again through all that there is: of 100,000 rows that is half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
