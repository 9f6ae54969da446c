"""Lanes: processes that each send world after world through its deaths, and tell every life."""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any, TextIO

from tasks.killtest.deaths import Death, answered, ended, forked, is_over
from tasks.killtest.scene import Scene
from tasks.killtest.world import Outcome, World

_POLL_SECONDS = 0.1


@dataclass(frozen=True, eq=False)
class Lane:
    """One share of the deaths, in a folder of its own."""

    folder: Path
    scene: Scene
    reference: Path
    """The store of an undisturbed making."""
    deaths: Sequence[Death]
    """The named ones, in order; begun anew when they are used up."""
    kills: int
    making_seconds: float
    """How long an undisturbed making takes: random deaths come within that time."""
    seed: int

    @property
    def told(self) -> Path:
        """The file that every life adds a line to."""
        return self.folder / "told.jsonl"

    def run(self) -> None:
        """Go on until so many died."""
        drawn, named, died = random.Random(self.seed), cycle(self.deaths), 0
        with self.told.open("w", buffering=1) as told:
            for number in count():
                if died >= self.kills:
                    return
                world = World(self.folder / str(number), self.scene, self.reference)
                at_random = Death(delay_seconds=drawn.uniform(0, self.making_seconds))
                both = (next(named), at_random)[: self.kills - died]
                died += _live(world, both, told)
                world.remove()

    def lives(self) -> list[dict[str, Any]]:
        """Return what was told so far."""
        lines = self.told.read_text().split("\n")[:-1] if self.told.exists() else []
        return [json.loads(line) for line in lines]


def _live(world: World, deaths: Sequence[Death], told: TextIO) -> int:
    """Send `world` through `deaths` and on to its end; return how many of them came about."""
    died = 0
    for number, death in enumerate(deaths, start=1):
        has_died = world.live_until(death)
        outcome = world.examine(finish=number == len(deaths))
        told.write(json.dumps(_as_json(death, has_died, outcome)) + "\n")
        died += has_died
    return died


def _as_json(death: Death, has_died: bool, outcome: Outcome) -> dict[str, Any]:
    facts: Mapping[str, Any] = {"faults": outcome.faults, "remade": outcome.remade}
    moment = f"{death.spot.moment} {death.step}" if death.spot else None
    return {"step": death.step, "moment": moment, "died": has_died, **facts}


def run_lanes(lanes: Sequence[Lane]) -> Iterator[int]:
    """Run every lane in a process of its own, yielding now and then how many lives were told.

    Raises ChildProcessError when a lane failed.
    """
    running = [forked(lane.run, lane.folder / "answer") for lane in lanes]
    try:
        while running := [process for process in running if not is_over(process)]:
            time.sleep(_POLL_SECONDS)
            yield sum(life["died"] for lane in lanes for life in lane.lives())
    finally:
        for process in running:
            ended(process)
    for lane in lanes:
        if raised := answered(lane.folder / "answer")[1]:
            raise ChildProcessError(raised)
