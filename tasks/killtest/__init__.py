"""The kill test: processes that make artifacts are killed, again and again, and the store is
audited.

A warm parent, which starts no thread, forks every process it needs. In each world, a fresh store,
one child is killed at a named step, the next at a random moment, and a last one goes on to the end.
After every death the store is audited, by a process of its own.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from conf.errors import RecipeError, did_you_mean
from storage.kinds import find_kind
from tasks.killtest.audit import audit_reference
from tasks.killtest.deaths import Death, Spot, answered, ended, forked, schedule
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
    at: str = "",
    lanes: int = 6,
    on_progress: Callable[[int], None] = lambda died: None,
) -> Report:
    """Return what `kills` deaths did to stores in the empty directory `folder`.

    Named deaths are at steps whose name contains `at`. The worlds are shared out to `lanes`
    processes; `on_progress` is told the deaths so far. Raises RecipeError when there is no such
    step, ChildProcessError when even an undisturbed making fails or a lane does.
    """
    began = time.perf_counter()
    _warm_up()
    scene = build_scene(folder, seed)
    spots, making_seconds = _make_undisturbed(folder, scene)
    deaths = [death for death in schedule(spots) if at in death.step]
    if not deaths:
        steps = {spot.step for spot in spots}
        raise RecipeError(f"No step is named like {at!r}. {did_you_mean(at, steps)}")
    shares = _shares(kills, folder, scene, deaths, making_seconds, seed, lanes)
    report = Report(seed, tallies=ordered(spot.step for spot in spots), moments=len(set(spots)))
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


def _make_undisturbed(folder: Path, scene: Scene) -> tuple[list[Spot], float]:
    """Return the moments that a making of `scene` passes when nobody dies, and its seconds."""
    began = time.perf_counter()
    spots = passed_spots(folder, scene)
    making_seconds = time.perf_counter() - began
    _check_reference(folder, scene)
    return spots, making_seconds


def _shares(
    kills: int,
    folder: Path,
    scene: Scene,
    deaths: Sequence[Death],
    making_seconds: float,
    seed: int,
    lanes: int,
) -> list[Lane]:
    """Return one lane each for a share of the kills and of the named `deaths`."""
    shares = []
    count = min(lanes, kills, len(deaths))
    for number in range(count):
        place = folder / f"lane-{number}"
        place.mkdir()
        share = len(range(number, kills, count))
        mine = deaths[number::count]
        lane = Lane(place, scene, folder / "store", mine, share, making_seconds, seed + number)
        shares.append(lane)
    return shares


def _check_reference(folder: Path, scene: Scene) -> None:
    answer = folder / "answer"
    ended(forked(lambda: audit_reference(folder / "store", scene), answer))
    if raised := answered(answer)[1]:
        raise ChildProcessError(raised)
