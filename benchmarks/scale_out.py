"""Two Dask workers against one, and what a part costs beside its own seconds.

Both sides make image features part by part through the real flow code, store, markers and fsyncs;
what a part does before it writes is a fixed amount of numpy work on one thread (`ratio`), or
waiting, so that the machine's cores do not decide (`overhead`).
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow

from benchmarks._harness import Figures, alternate, main, median_ratio, rounded, timed
from conf.dataset import SourceSpec, parse_source
from conf.images import ImageRecipe
from conf.models import ModelSpec
from conf.runtime import Runtime
from flows.dataset import make_dataset
from flows.run import Run
from flows.server import prefect_server
from storage.drafts import Making
from storage.images import write_part
from storage.store import Artifact, ArtifactStore
from tasks.checkpoint import part_task
from tasks.dataset import open_contents

_DIM = 32


def burn(turns: int) -> float:
    """Do so many turns of work that no BLAS spreads over threads, and return what came of it.

    In place, on values that stay in a core's cache: fresh arrays would have the kernel clear pages,
    half of a worker's seconds, and processes wait for each other there.
    """
    values = np.linspace(0.1, 1.0, 1 << 14)
    for _ in range(turns):
        np.sin(values, out=values)
        np.abs(values, out=values)
        np.add(values, 0.1, out=values)
        np.sqrt(values, out=values)
    return float(values.sum())


def turns_for(seconds: float) -> int:
    """Return the turns of `burn` that take about so long on one thread of this machine."""
    tried = 800
    return max(1, round(tried * seconds / min(timed(lambda: burn(tried)) for _ in range(3))))


@part_task
def work(
    recipe: ImageRecipe,
    dataset: Artifact,
    *,
    part: str,
    source: SourceSpec,
    turns: int,
    wait_seconds: float,
    runtime: Runtime,
) -> None:
    """Seal a part after its work, or its waiting."""
    ledger = open_contents(dataset, source, runtime).ledger
    draft = ArtifactStore(runtime.store).open_draft(recipe.key(content=ledger.content))
    wanted = draft.rows_of(part)
    with draft.write_part(part) as writer:
        burn(turns)
        time.sleep(wait_seconds)
        pooled = np.zeros((len(wanted), _DIM), np.float32)
        pooled[:, 0] = 1.0
        write_part(writer, wanted, pooled, None, "of-the-benchmark")


@flow(name="scale-out")
def make_parts(
    runtime: Runtime, parts: int, turns: int, wait_seconds: float
) -> tuple[float, float]:
    """Return the seconds of a making of so many parts, and the sum of their own seconds.

    Another making goes before, one part a worker: the workers are then there, and have imported
    what they need.
    """
    run = Run("scale-out", runtime)
    for rows in (runtime.workers, parts):
        source = parse_source({"source": "digits", "limit": rows})
        dataset, ledger = make_dataset(run, source, f"dataset-{rows}")
        recipe = ImageRecipe(model=ModelSpec(family="toy", precision="fp32"))
        making = Making(recipe, {"content": ledger.content}, ledger.contents)
        given: dict[str, Any] = {"source": source, "turns": turns, "wait_seconds": wait_seconds}
        made = run.make(f"features-{rows}", making, work, dataset, **given)
    run.close()
    own = sum(marker.seconds for marker in run.store.markers(made))
    return run.made[-1].seconds, own


def measure(folder: Path, *, small: bool) -> Figures:
    """Return seconds on one and on two workers, and the overhead of many parts on threads."""
    parts, seconds, rounds = (4, 0.2, 1) if small else (16, 2.0, 3)
    many, wait_seconds = (20, 0.05) if small else (1000, 0.5)
    turns = turns_for(seconds)
    base = Runtime(take_over=False, part_rows=1, lanes=1, progress=False)

    def side(workers: int, number: int) -> float:
        store = folder / f"dask-{workers}-{number}"
        runtime = base.model_copy(update={"store": store, "runner": "dask", "workers": workers})
        return make_parts(runtime, parts, turns, 0.0)[0]

    with prefect_server():
        taken = alternate(
            {"one": lambda number: side(1, number), "two": lambda number: side(2, number)}, rounds
        )
        threads = base.model_copy(update={"store": folder / "threads", "workers": 2})
        wall, own = make_parts(threads, many, 0, wait_seconds)
    return {
        "ratio": round(median_ratio(taken["one"], taken["two"]), 3),
        "unit": f"seconds of {parts} numpy parts on 1 Dask worker / on 2, one thread each",
        "one_worker_seconds": rounded(taken["one"]),
        "two_workers_seconds": rounded(taken["two"]),
        "part_seconds": seconds,
        "overhead": round((wall - own / 2) / wall, 4),
        "overhead_beyond_waiting": round((wall - many * wait_seconds / 2) / wall, 4),
        "overhead_parts": many,
        "overhead_part_seconds": wait_seconds,
        "overhead_wall_seconds": round(wall, 3),
        "overhead_workers": 2,
        "overhead_parts_wait": True,
    }


if __name__ == "__main__":
    main("scale_out", measure)
