"""Lanes: threads that each take the next batch through decoding and model, so that both overlap."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue


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
    waiting: SimpleQueue[slice] = SimpleQueue()
    for span in spans:
        waiting.put(span)
    failed = threading.Event()

    def taken() -> Iterator[slice]:
        with suppress(Empty):
            while not failed.is_set():
                yield waiting.get_nowait()

    def lane() -> None:
        try:
            on_enter()
            for span in taken():
                work(span)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(lanes, thread_name_prefix="lane") as pool:
        for future in [pool.submit(lane) for _ in range(min(lanes, waiting.qsize()))]:
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
