"""Progress of long work: rows/s and time left, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

_bars: dict[str, tqdm[Any]] = {}
_SILENT_SECONDS = 0.5
"""What is done sooner needs no bar."""
_LINE_SECONDS = 10.0
"""Between two lines where standard error is a file: a log wants few."""


@contextmanager
def progress(
    name: str,
    total: int,
    *,
    done: int = 0,
    title: str | None = None,
    unit: str = "rows",
    is_shown: bool = True,
) -> Iterator[None]:
    """Show a bar while the context lasts; `advance(name, ...)` moves it from any thread."""
    if not is_shown:
        yield
        return
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else _LINE_SECONDS
    with tqdm(
        total=total,
        initial=done,
        desc=title or name,
        unit=f" {unit}",
        mininterval=pause,
        delay=_SILENT_SECONDS,
        file=sys.stderr,
    ) as bar:
        _bars[name] = bar
        try:
            yield
        finally:
            del _bars[name]


def advance(name: str, count: int) -> None:
    """Move the bar `name` by `count`; where nobody watches, do nothing."""
    bar = _bars.get(name)
    if bar is not None:  # a bar whose total is 0 counts as false
        bar.update(count)


def advance_to(name: str, done: int, total: int) -> None:
    """Set the bar `name` to `done` of `total`; where nobody watches, do nothing."""
    bar = _bars.get(name)
    if bar is not None:
        bar.total = total
        bar.update(done - bar.n)


def say(text: str) -> None:
    """Tell the user something while bars may be running."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
