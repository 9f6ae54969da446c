"""What declares flows and tasks: `flow` and `quote` of Prefect, `part_task` and `look_task` of
`tasks.checkpoint`.

A plan makes nothing and calls no more than `.fn` of them, and to import Prefect takes longer than
most plans. So in a process that does nothing but plan, functions are declared without Prefect:
nobody else ever sees other than Prefect's own flows and tasks.
"""

import sys
from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from conf.errors import FeaturemillError

if TYPE_CHECKING:
    from prefect import flow
    from prefect.utilities.annotations import quote

    from tasks.checkpoint import look_task, part_task

__all__ = ["OnlyPlanned", "Planned", "flow", "look_task", "only_plan", "part_task", "quote"]


class OnlyPlanned(FeaturemillError):
    """A flow or task was called that had been imported to be planned."""


class Planned:
    """A flow or task where nothing is done but plan: `fn` is its function, and nothing runs it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        update_wrapper(self, fn)
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise OnlyPlanned."""
        raise OnlyPlanned(
            f"{self.fn.__qualname__} of {self.fn.__module__} was called, but this process does "
            "nothing but plan, and has imported it without Prefect. Call it in another process; on "
            "the command line that is `featuremill run`."
        )


_WHERE = {
    "flow": "prefect",
    "quote": "prefect.utilities.annotations",
    "look_task": "tasks.checkpoint",
    "part_task": "tasks.checkpoint",
}
_PLANNED: dict[str, Callable[..., Any]] = {
    "flow": lambda **options: Planned,
    "quote": lambda value: value,
    "look_task": Planned,
    "part_task": Planned,
}
_plans_only = False


def only_plan() -> None:
    """Have the flows and tasks that are imported from now on declared without Prefect.

    For a process that plans and ends. Where Prefect is imported already, nothing changes.
    """
    global _plans_only
    _plans_only = "prefect" not in sys.modules


def __getattr__(name: str) -> Any:
    """Return what `name` declares with in this process: found when a flow or task imports it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _PLANNED[name] if _plans_only else getattr(import_module(_WHERE[name]), name)
