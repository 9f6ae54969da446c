"""Lanes: threads that each take the next batch through decoding and model, so that both overlap."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait


def run_lanes(
    work: Callable[[slice], None],
    spans: Iterable[slice],
    *,
    lanes: int,
    on_enter: Callable[[], None],
) -> None:
    """Call `work` once for each span, from `lanes` threads; each calls `on_enter` first.

    The first error stops spans that have not begun, and is raised.
    """
    with ThreadPoolExecutor(lanes, initializer=on_enter, thread_name_prefix="lane") as pool:
        futures = [pool.submit(work, span) for span in spans]
        done, pending = wait(futures, return_when=FIRST_EXCEPTION)
        for future in pending:
            future.cancel()
        for future in done:
            future.result()


def spans(rows: int, size: int) -> list[slice]:
    """Return slices of at most `size` that cover `rows` in order."""
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
