"""Ctrl-C, as tasks are told of it."""

import threading

from conf.errors import Stopped

stop_requested = threading.Event()
"""Set by the first Ctrl-C: parts that run are finished, no other begins."""


def check_not_stopped() -> None:
    """Raise Stopped when the user has asked to stop."""
    if stop_requested.is_set():
        raise Stopped("Stopped before this part was begun. Run the same flow again to go on.")
