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


def tapered(rows: int, size: int, lanes: int) -> list[slice]:
    """Return slices that cover `rows` in order: of `size` at first, then ever smaller.

    So that the lanes finish together: one that takes the last batch keeps the others waiting for a
    quarter of a batch, not for a whole one. (Guided self-scheduling, Polychronopoulos and Kuck
    1987.)
    """
    slices, start = [], 0
    while start < rows:
        share = -(-(rows - start) // lanes)
        stop = min(rows, start + min(size, max(share, size // 4, 1)))
        slices.append(slice(start, stop))
        start = stop
    return slices
