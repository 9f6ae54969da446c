"""What all measurements share: the command line, alternating sides, peak memory, the last line."""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from conf.machine import cores

Figures = dict[str, Any]
Measure = Callable[..., Figures]
"""Called as `measure(folder, small=...)`: measures in an empty folder and returns the figures."""


def main(name: str, measure: Measure) -> None:
    """Run `measure` in a folder of its own and print what it found, as JSON in the last line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--small", action="store_true", help="a few rows: does it run at all?")
    parser.add_argument("--folder", type=Path, help="the disk to measure on (default: TMPDIR)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-", dir=given.folder) as folder:
        os.environ["FEATUREMILL_STORE"] = str(Path(folder) / "default-store")
        figures = measure(Path(folder), small=given.small)
    figures = {"name": name, **figures}
    figures |= {"peak_memory_bytes": peak_memory_bytes(), "cores": cores()}
    print(json.dumps(figures) if given.json else as_text(figures))


def as_text(figures: Mapping[str, Any]) -> str:
    """Return figures for a person, one a line."""
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in figures.items())


def alternate(sides: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each side reported, round by round.

    A side is called with the number of the round. Every other round runs the other way round, so
    that neither side always has the disk or the caches that the other left behind.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in names:
            seconds[name].append(sides[name](number))
        told = ", ".join(f"{name} {seconds[name][-1]:.3f} s" for name in sides)
        print(f"round {number + 1} of {rounds}: {told}", file=sys.stderr, flush=True)
    return seconds


def median_ratio(upper: list[float], lower: list[float]) -> float:
    """Return the median over rounds of `upper` divided by `lower`: neighbours in time compare."""
    return median(a / b for a, b in zip(upper, lower, strict=True))


def rounded(values: list[float]) -> list[float]:
    """Return `values` to the tenth of a millisecond."""
    return [round(value, 4) for value in values]


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
