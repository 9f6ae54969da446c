"""The kill test: processes that make artifacts are killed, again and again, and the store is
audited.

A warm parent, which starts no thread, forks every process it needs. In each world, a fresh store,
one child is killed at a named step, the next at a random moment, and a last one goes on to the end.
After every death the store is audited, by a process of its own.
"""

import importlib
import time
from collections.abc import Callable
from pathlib import Path

from storage.kinds import find_kind
from tasks.killtest.audit import audit_reference
from tasks.killtest.deaths import answered, ended, forked, schedule
from tasks.killtest.lanes import Lane, run_lanes
from tasks.killtest.report import HEADER, Report, Tally, ordered
from tasks.killtest.scene import Scene, build_scene
from tasks.killtest.world import passed_spots

__all__ = ["HEADER", "Report", "Tally", "run_kill_test"]

_NEEDED_BY_ALL = ("pandas", "pyarrow.dataset", "pyarrow.parquet", "storage.readers.npz")


def run_kill_test(
    kills: int,
    folder: Path,
    *,
    seed: int = 0,
    lanes: int = 6,
    on_progress: Callable[[int], None] = lambda died: None,
) -> Report:
    """Return what `kills` deaths did to stores in the empty directory `folder`.

    The worlds are shared out to `lanes` processes; `on_progress` is told the deaths so far. Raises
    ChildProcessError when even an undisturbed making fails or a lane does.
    """
    began = time.perf_counter()
    _warm_up()
    scene = build_scene(folder, seed)
    report, shares = _prepare(kills, folder, scene, seed, lanes)
    for died in run_lanes(shares):
        on_progress(died)
    for lane in shares:
        for life in lane.lives():
            report.take(life)
    report.seconds = round(time.perf_counter() - began, 1)
    return report


def _warm_up() -> None:
    """Import what every child needs; a forked child then begins at once."""
    for name in _NEEDED_BY_ALL:
        importlib.import_module(name)
    find_kind("dataset")


def _prepare(
    kills: int, folder: Path, scene: Scene, seed: int, lanes: int
) -> tuple[Report, list[Lane]]:
    """Make `scene` once, undisturbed, and share out the moments that it passed."""
    began = time.perf_counter()
    spots = passed_spots(folder, scene)
    making_seconds = time.perf_counter() - began
    _check_reference(folder, scene)
    deaths = schedule(spots)
    report = Report(seed, tallies=ordered(spot.step for spot in spots))
    report.moments = len(set(spots))
    shares = []
    for number in range(lanes):
        share = kills // lanes + (number < kills % lanes)
        place = folder / f"lane-{number}"
        place.mkdir()
        mine = deaths[number::lanes]
        shares.append(
            Lane(place, scene, folder / "store", mine, share, making_seconds, seed + number)
        )
    return report, shares


def _check_reference(folder: Path, scene: Scene) -> None:
    answer = folder / "answer"
    ended(forked(lambda: audit_reference(folder / "store", scene), answer))
    if raised := answered(answer)[1]:
        raise ChildProcessError(raised)
