"""What an unchanged batch of 1,000 photos costs, and what ten more cost: about a hundredth.

The flow `photos`, all stages, over generated photos, by the toy encoder: what is measured is what
surrounds the model. Seconds are taken inside the flow; `stage_seconds` are those of the artifacts
that were made, from the first look at the store to the name that they get: their tasks, Prefect's
share, and what is taken over, which is done outside the tasks. `task_seconds` are those inside the
functions of tasks alone.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from prefect import flow

from benchmarks._harness import Figures, main, rounded
from benchmarks._images import write_photos
from benchmarks._making import TOY, quiet_runtime
from conf.photos import Preset
from conf.prompts import PromptSet
from conf.sources.folder import Source
from flows.photos import photos

_PHOTOS, _SMALL_PHOTOS, _ADDED, _SMALL_ADDED = 1000, 12, 10, 2
_SIZES, _SMALL_SIZES = ((1280, 960), (800, 600)), ((320, 240),)
"""Of photos: 1.2 megapixels, and half a megapixel, where what is fixed weighs twice as much."""
_WORDS = PromptSet(
    templates=("a photo of {}",), vocabulary=("sea", "city", "animal", "face", "sky")
)


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the share of the first run that more photos cost, and the seconds of an unchanged run.

    `ratio` is that of the seconds inside tasks, `stage_ratio` that of all stages with what is done
    around the tasks, both of photos of 1.2 megapixels; `small_ratio` and `small_stage_ratio` are
    those of the smallest. `seconds` are those of the size where they are worst; `at` has all.
    """
    count, added = (_SMALL_PHOTOS, _SMALL_ADDED) if small else (_PHOTOS, _ADDED)
    at: dict[str, Figures] = {}
    for size_px in _SMALL_SIZES if small else _SIZES:
        name = f"{size_px[0]}x{size_px[1]}"
        at[name] = _at(folder / name, size_px, count, added)
    sizes = list(at.values())
    usual, smallest = sizes[0], sizes[-1]
    return {
        "ratio": usual["ratio"],
        "unit": "task seconds of ten more photos / task seconds of the first run",
        "stage_ratio": usual["stage_ratio"],
        "small_ratio": smallest["ratio"],
        "small_stage_ratio": smallest["stage_ratio"],
        "seconds": max(one["again"]["seconds"] for one in at.values()),
        "photos": count,
        "photos_added": added,
        "at": at,
    }


def _at(folder: Path, size_px: tuple[int, int], count: int, added: int) -> Figures:
    more_px = (size_px[0] + 1, size_px[1])  # others than the first, which are seeded alike
    write_photos(folder / "photos", count, size_px, max_bytes=1 << 20)
    _run(folder, 0)  # compiles, imports
    first, again = _run(folder, 1), _run(folder, 1)
    write_photos(folder / "photos" / "more", added, more_px, max_bytes=1 << 20)
    more = _run(folder, 1)
    assert again["rows_made"] == 0, again
    shares = {
        name: round(more[what] / first[what], 4)
        for name, what in (("ratio", "task_seconds"), ("stage_ratio", "stage_seconds"))
    }
    return {**shares, "first": first, "again": again, "more": more}


def _run(folder: Path, number: int) -> Figures:
    inside: list[Any] = []
    in_tasks: list[float] = []
    source = Source(root=folder / "photos", limit=None if number else 2)
    preset = Preset(source=source, model=TOY, prompts=_WORDS)
    runtime = quiet_runtime(folder / f"store{number}")

    @flow(name="photos")
    def timed_flow() -> None:
        began = time.perf_counter()
        run = photos.fn(preset, runtime)
        inside.extend([time.perf_counter() - began, run])

    with _timing_tasks(in_tasks):
        timed_flow()
    seconds, run = inside
    made = {one.name: one.seconds for one in run.made}
    return {
        "seconds": round(seconds, 3),
        "stage_seconds": round(sum(one.seconds for one in run.made if one.rows_made), 3),
        "task_seconds": round(sum(in_tasks), 3),
        "rows_made": sum(one.rows_made for one in run.made),
        **{f"{name}_seconds": rounded([s])[0] for name, s in made.items()},
    }


@contextmanager
def _timing_tasks(seconds: list[float]) -> Iterator[None]:
    """Let `seconds` get those of every call that Prefect makes of a task's function."""
    from prefect.utilities.callables import call_with_parameters as call

    def timed(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
        began = time.perf_counter()
        try:
            return call(function, parameters)
        finally:
            seconds.append(time.perf_counter() - began)

    with patch("prefect.task_engine.call_with_parameters", timed):
        yield


if __name__ == "__main__":
    main("photos_rerun", measure)
