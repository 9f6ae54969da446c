"""What a plan costs in a large store: 1,000 artifacts, and a dataset of 100,000 files.

`seconds` are those of the plan itself, in a process that has imported what it needs; the whole
command, Python's start and every import included, stands apart.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._harness import Figures, main, peak_memory_bytes, rounded

_FILES, _ARTIFACTS = 100_000, 1_000
_SMALL_FILES, _SMALL_ARTIFACTS = 30, 8
_NEW_FILES = 1_000
_ROUNDS = 5


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the seconds of plans: nothing changed, a word changed, a hundredth of the files new.

    `ratio` is the part of 2 s that the slowest takes, the whole command included.
    """
    files = _SMALL_FILES if small else _FILES
    artifacts = _SMALL_ARTIFACTS if small else _ARTIFACTS
    built = _run("build", folder, str(files), str(artifacts))
    rounds = 1 if small else _ROUNDS
    plans = {name: [_run("plan", folder, name) for _ in range(rounds)] for name in _WORDS}
    commands = {"unchanged": [_command(folder, {"reuse"}) for _ in range(rounds)]}
    _run("grow", folder, str(files), str(1 if small else _NEW_FILES))
    plans["grown"] = [_run("plan", folder, "unchanged") for _ in range(rounds)]
    commands["grown"] = [_command(folder, {"make", "reuse"}) for _ in range(rounds)]
    seconds = {name: median(one["seconds"] for one in found) for name, found in plans.items()}
    whole = {name: median(found) for name, found in commands.items()}
    return {
        "ratio": round(max(*seconds.values(), *whole.values()) / 2, 4),
        "unit": "seconds of the slowest plan, as a command, / the 2 s it may take",
        "seconds": max(seconds.values()),
        "command_seconds": max(whole.values()),
        **{f"{name}_seconds": figure for name, figure in seconds.items()},
        **{
            f"{name}_cpu_seconds": median(one["cpu_seconds"] for one in found)
            for name, found in plans.items()
        },
        **{f"{name}_command_seconds": rounded(found) for name, found in commands.items()},
        "import_seconds": median(one["import_seconds"] for one in plans["unchanged"]),
        "files": files,
        "artifacts": built["artifacts"],
        "build_seconds": built["seconds"],
        "states": {name: found[0]["states"] for name, found in plans.items()},
        "plan_peak_memory_bytes": max(one["peak"] for found in plans.values() for one in found),
    }


_WORDS = {"unchanged": (), "changed": ("cell", "platelet", "smear", "crystal")}


def _run(what: str, folder: Path, *given: str) -> Figures:
    command = [sys.executable, "-m", "benchmarks.plan_speed", what, str(folder), *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{what} {' '.join(given)}: {figures}", file=sys.stderr, flush=True)
    return figures


def _command(folder: Path, expected: set[str]) -> float:
    """Return the seconds of the whole command; the artifacts are in the states expected."""
    preset = folder / "large.toml"
    preset.write_text(
        'flow = "labels"\n[source]\nsource = "folder"\n'
        f"root = {json.dumps(str(folder / 'photos'))}\n"
        '[model]\nfamily = "toy"\nprecision = "fp32"\n'
        '[prompts]\ntemplates = ["a photo of {}"]\n'
        'vocabulary = ["cell", "platelet", "smear", "stain"]\n'
    )
    start = "import sys; from flows.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "plan", str(preset), "--json"]
    command += ["--store", str(folder / "store")]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - began
    states = {one["state"] for one in json.loads(done.stdout)["artifacts"]}
    assert states == expected, done.stdout
    return seconds


# In the processes that build and plan


def run_build(folder: Path, files: str, artifacts: str) -> Figures:
    """Build the store, and return how long that took."""
    from benchmarks._large_store import make_large_store
    from storage.catalog import Catalog
    from storage.store import ArtifactStore

    began = time.perf_counter()
    large = make_large_store(folder, files=int(files), artifacts=int(artifacts))
    found = Catalog(ArtifactStore(large.runtime.store)).entries()
    return {"artifacts": len(found), "seconds": round(time.perf_counter() - began, 1)}


def run_grow(folder: Path, first: str, count: str) -> Figures:
    """Add files to the dataset."""
    from benchmarks._large_store import add_files

    add_files(_large(folder), int(first), int(count))
    return {"added": int(count)}


def run_plan(folder: Path, name: str) -> Figures:
    """Plan the preset, and return what that took."""
    from tasks.declaring import only_plan

    only_plan()  # as the command does
    began = time.perf_counter()
    import flows.labels as _  # noqa: F401  # what the preset's flow needs
    from flows.planning import plan

    imported = time.perf_counter()
    large = _large(folder)
    preset = large.preset(*_WORDS[name])
    began_planning, cpu_began = time.perf_counter(), time.process_time()
    found = plan(preset, large.runtime)
    seconds, cpu_seconds = time.perf_counter() - began_planning, time.process_time() - cpu_began
    return {
        "seconds": round(seconds, 4),
        "cpu_seconds": round(cpu_seconds, 4),
        "import_seconds": round(imported - began, 4),
        "states": {one.name.partition("/")[2]: one.state for one in found.artifacts},
        "peak": peak_memory_bytes(),
    }


def _large(folder: Path) -> Any:
    from benchmarks._large_store import LargeStore
    from benchmarks._making import quiet_runtime

    return LargeStore(folder / "photos", quiet_runtime(folder / "store"))


if __name__ == "__main__":
    steps: dict[str, Callable[..., Figures]]
    steps = {"build": run_build, "grow": run_grow, "plan": run_plan}
    if sys.argv[1:2] and sys.argv[1] in steps:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        print(json.dumps(steps[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
    else:
        main("plan_speed", measure)
