"""What an unchanged run costs: a folder of 10,000 images that were all encoded before.

Every run is a process of its own, as a user's second run is. Seconds are taken inside the flow:
Prefect's start and end, which do not depend on the work, stand apart.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks._harness import Figures, main, peak_memory_bytes

_FILES, _SMALL_FILES = 10_000, 60
_RERUNS = 5


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the seconds of an unchanged run, and their ratio to those of the first run."""
    from benchmarks._images import write_patterns

    write_patterns(folder / "photos", _SMALL_FILES if small else _FILES, side_px=64)
    first = _run("run", folder)
    again = [_run("run", folder) for _ in range(1 if small else _RERUNS)]
    checks = [_run("check", folder) for _ in again]  # processes of their own too
    for run in again:
        assert run["states"] == ["Cached", "Cached"], run
        assert run["images_opened"] == 0, run
        assert not run["torch_imported"], run
    return _figures(first, again, checks)


def _figures(first: Figures, again: list[Figures], checks: list[Figures]) -> Figures:
    seconds = median(run["seconds"] for run in again)
    return {
        "ratio": round(seconds / first["seconds"], 4),
        "unit": "seconds of an unchanged run / seconds of the first run, inside the flow",
        "seconds": seconds,
        "check_seconds": median(check["seconds"] for check in checks),
        "check_cpu_seconds": median(check["cpu_seconds"] for check in checks),
        "first_seconds": first["seconds"],
        "start_seconds": median(run["start_seconds"] for run in again),
        "end_seconds": median(run["end_seconds"] for run in again),
        "files": first["rows"],
        "first_images_opened": first["images_opened"],
        "images_opened": max(run["images_opened"] for run in again),
        "run_peak_memory_bytes": max(run["peak_memory_bytes"] for run in again),
        "all_seconds": [run["seconds"] for run in again],
        "all_check_seconds": [check["seconds"] for check in checks],
    }


def _run(what: str, folder: Path) -> Figures:
    command = [sys.executable, "-m", "benchmarks.warm_rerun", what, str(folder)]
    environment = _environment()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{what}: {figures}", file=sys.stderr, flush=True)
    return figures


def _environment() -> dict[str, str]:
    """Return this process's environment and, where one is running already, its Prefect server."""
    if "prefect" not in sys.modules:
        return dict(os.environ)
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return dict(os.environ) | ({"PREFECT_API_URL": url} if url else {})


# In the processes that run the flow


def run_flow(folder: Path) -> Figures:
    """Run the flow over `folder` and return what it took and which images it opened."""
    opened = count_opened(folder / "photos")
    from prefect import flow

    from benchmarks._making import quiet_runtime
    from flows.images import image_features

    inside: list[float] = []
    runs: list[Any] = []

    @flow(name="images")
    def timed_flow() -> None:
        inside.append(time.perf_counter())
        runs.append(image_features.fn(_preset(folder), quiet_runtime(folder / "store")))
        inside.append(time.perf_counter())

    began = time.perf_counter()
    timed_flow()
    ended = time.perf_counter()
    made = runs[0].made
    return {
        "seconds": round(inside[1] - inside[0], 4),
        "start_seconds": round(inside[0] - began, 4),
        "end_seconds": round(ended - inside[1], 4),
        "rows": made[-1].artifact.rows,
        "states": [one.state for one in made],
        "images_opened": len(opened),
        "torch_imported": "torch" in sys.modules,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def run_check(folder: Path) -> Figures:
    """Return how long the check itself takes: scan, ledger, keys, and are they in the store?"""
    import flows.images as _  # noqa: F401  # what the flow has imported before it begins
    from benchmarks._making import TOY, image_making, image_recipe, quiet_runtime
    from storage.store import ArtifactStore
    from tasks.dataset import scan_source

    runtime = quiet_runtime(folder / "store")
    began, cpu_began = time.perf_counter(), time.process_time()
    store = ArtifactStore(runtime.store)
    recipe = image_recipe(TOY, runtime)
    ledger = scan_source.fn(_preset(folder).source, runtime=runtime)
    keys = [ledger.recipe.key(), image_making(recipe, ledger).key]
    found = [store.find(key) for key in keys]
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    assert all(found), "the flow would make what the check expects to find"
    return {"seconds": round(seconds, 4), "cpu_seconds": round(cpu_seconds, 4)}


def _preset(folder: Path) -> Any:
    from conf.images import Preset
    from conf.models import ModelSpec
    from conf.sources.folder import Source

    model = ModelSpec(family="toy", precision="fp32")
    return Preset(source=Source(root=folder / "photos"), model=model)


def count_opened(folder: Path) -> set[str]:
    """Return a set that will hold the name of every file below `folder` that Python opens."""
    opened: set[str] = set()
    inside = os.path.join(folder, "")

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(arguments[0])
            if path.startswith(inside) and path.endswith(".jpg"):
                opened.add(path)

    sys.addaudithook(watch)
    return opened


if __name__ == "__main__":
    if sys.argv[1:2] in (["run"], ["check"]):
        run = run_flow if sys.argv[1] == "run" else run_check
        print(json.dumps(run(Path(sys.argv[2]))))
    else:
        main("warm_rerun", measure)
