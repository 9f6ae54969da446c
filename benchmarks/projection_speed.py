"""What a map with its trust costs, against what one would type with scikit-learn.

Ours: components, exact neighbours, t-SNE, trustworthiness, continuity and recall of 2,000 anchors,
through the tasks, checksums and publishing included. Theirs: scikit-learn's TSNE by its defaults
(n_jobs=2) on the vectors, and its trustworthiness of all rows. Ours draws in one thread: two draw
the same map sooner, and spend more. CPU seconds of all threads, every
side in a process of its own, so that its peak memory is its own, too; libraries are imported
before, numba's compiling is counted.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import Figures, main, peak_memory_bytes
from benchmarks._making import quiet_runtime
from conf.keys import ArtifactKey
from conf.projection import (
    GraphRecipe,
    MapRecipe,
    Method,
    PcaRecipe,
    TrustRecipe,
    TsneMethod,
    UmapMethod,
    VectorSource,
)
from conf.runtime import Runtime
from storage.drafts import Making
from storage.projection import MapFiles
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from tasks.compute.projection.embed import neighbours_wanted
from tasks.projection.making import (
    judge_map,
    make_components,
    make_graph,
    make_map,
    map_inputs,
    trust_inputs,
)
from tasks.projection.vectors import vectors_key

Array = np.ndarray[Any, Any]

_ROWS, _DIM, _CLUSTERS, _RANK = 17_092, 1152, 8, 40
_NEIGHBOURS = 5
"""scikit-learn's default for trustworthiness."""


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return how many times the CPU seconds of a map by scikit-learn are those of ours."""
    vectors = scene(400, 64) if small else scene(_ROWS, _DIM)
    np.save(folder / "vectors.npy", vectors)
    told = {name: _apart(folder, name) for name in SIDES}
    ours, theirs, same = told["ours"], told["scikit_learn"], told["scikit_learn_pca"]
    umap, plain = told["umap"], told["umap_alone"]
    return {
        "ratio": round(theirs["cpu_seconds"] / ours["cpu_seconds"], 3),
        "unit": "CPU seconds of scikit-learn's TSNE and trustworthiness / CPU seconds of ours",
        "rows": len(vectors),
        "cpu_seconds": ours["cpu_seconds"],
        "seconds": ours["seconds"],
        "cpu_seconds_by_step": ours["steps"],
        "scikit_learn_cpu_seconds": theirs["cpu_seconds"],
        "scikit_learn_seconds": theirs["seconds"],
        "same_input_ratio": round(same["cpu_seconds"] / ours["cpu_seconds"], 3),
        "trustworthiness": ours["trustworthiness"],
        "standard_error": ours["standard_error"],
        "anchors": ours["anchors"],
        "continuity": ours["continuity"],
        "scikit_learn_trustworthiness": theirs["trustworthiness"],
        "scikit_learn_pca_trustworthiness": same["trustworthiness"],
        "map_peak_memory_bytes": ours["peak_memory_bytes"],
        "scikit_learn_peak_memory_bytes": theirs["peak_memory_bytes"],
        "umap_ratio": round(umap["cpu_seconds"] / plain["cpu_seconds"], 3),
        "umap_cpu_seconds": umap["cpu_seconds"],
        "umap_alone_cpu_seconds": plain["cpu_seconds"],
        "umap_trustworthiness": umap["trustworthiness"],
        "umap_peak_memory_bytes": umap["peak_memory_bytes"],
    }


def scene(rows: int, dim: int) -> Array:
    """Return unit vectors (rows, dim) float32 of eight clusters, each bent within 40 dimensions,
    with noise in all: about as hard as features of images."""
    draw = np.random.default_rng(0)
    rank = min(_RANK, dim)
    basis = np.linalg.qr(draw.standard_normal((dim, rank)))[0].T
    centres = draw.standard_normal((_CLUSTERS, rank)) * 1.2
    labels = draw.integers(0, _CLUSTERS, rows)
    hidden = draw.standard_normal((rows, 6)) @ draw.standard_normal((6, rank)) * 0.4
    hidden = centres[labels] + hidden + 0.6 * draw.standard_normal((rows, rank))
    found = hidden @ basis + 0.02 * draw.standard_normal((rows, dim))
    unit: Array = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


_LIBRARIES = {
    "ours": ("openTSNE", "scipy.linalg"),
    "scikit": ("sklearn.manifold", "sklearn.decomposition"),
    "umap": ("umap", "sklearn.decomposition"),
}


def _apart(folder: Path, name: str) -> dict[str, Any]:
    code = f"from benchmarks.projection_speed import side; side({name!r}, {str(folder)!r})"
    # umap-learn compiles for a minute where nothing is kept; both its sides are measured warm.
    cold = {} if "umap" in name else {"NUMBA_CACHE_DIR": str(folder / f"numba-{name}")}
    told = subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ | cold)
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    print(f"{name}: {found['cpu_seconds']:.1f} CPU s", file=sys.stderr, flush=True)
    return found


def side(name: str, folder: str) -> None:
    """Print the figures of one side as JSON."""
    for library in _LIBRARIES[name.partition("_")[0]]:
        importlib.import_module(library)
    told = SIDES[name](Path(folder), name)
    print(json.dumps(told | {"peak_memory_bytes": _own_peak_bytes()}))


def _own_peak_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory_bytes()
    (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class _Clock:
    """CPU and wall seconds since it was made, and of every step."""

    def __init__(self) -> None:
        self.began, self.wall = time.process_time(), time.perf_counter()
        self.steps: dict[str, float] = {}
        self._last = self.began

    def step(self, name: str) -> None:
        """Take down that a step has ended."""
        now = time.process_time()
        self.steps[name] = round(now - self._last, 3)
        self._last = now

    def figures(self) -> dict[str, Any]:
        """Return everything measured."""
        return {
            "cpu_seconds": round(time.process_time() - self.began, 3),
            "seconds": round(time.perf_counter() - self.wall, 3),
            "steps": self.steps,
        }


def _made(store: ArtifactStore, making: Making, work: Callable[[str], Any]) -> Artifact:
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            work(part)
        return seal(store, making.key)


def _ours(settings: Method, folder: Path, name: str) -> dict[str, Any]:
    clock = _Clock()
    runtime = quiet_runtime(folder / f"store-{name}", lanes=1)
    source = VectorSource(path=folder / "vectors.npy")
    store = ArtifactStore(runtime.store)
    vectors = vectors_key(source, runtime)
    clock.step("hash")
    coordinates = _drawn(settings, source, vectors, runtime, clock)
    judging = TrustRecipe(neighbours=_NEIGHBOURS)
    making = Making(judging, trust_inputs(store, vectors, coordinates, ()), ("trust",))
    trust = _made(
        store,
        making,
        lambda part: judge_map.fn(
            judging, vectors, coordinates, (), source=source, part=part, runtime=runtime
        ),
    )
    clock.step("trust")
    facts = MapFiles(store, trust).facts
    told = {name: facts[name]["value"] for name in ("trustworthiness", "continuity")}
    found = {name: facts["trustworthiness"][name] for name in ("standard_error", "anchors")}
    return clock.figures() | told | found


def _drawn(
    settings: Method, source: VectorSource, vectors: ArtifactKey, runtime: Runtime, clock: _Clock
) -> Artifact:
    store, wanted = ArtifactStore(runtime.store), PcaRecipe()
    pca = _made(
        store,
        Making(wanted, {"vectors": vectors}, ("components",)),
        lambda part: make_components.fn(wanted, vectors, source=source, part=part, runtime=runtime),
    )
    clock.step("components")
    near = GraphRecipe(neighbours=neighbours_wanted(settings.method, settings))
    graph = _made(
        store,
        Making(near, {"pca": store.key_of(pca)}, ("graph",)),
        lambda part: make_graph.fn(near, vectors, pca, source=source, part=part, runtime=runtime),
    )
    clock.step("neighbours")
    recipe = MapRecipe(settings=settings)
    drawn = _made(
        store,
        Making(recipe, map_inputs(store, pca, graph, None), ("map",)),
        lambda part: make_map.fn(recipe, pca, graph, None, part=part, runtime=runtime),
    )
    clock.step(settings.method)
    return drawn


def _tsne(folder: Path, name: str) -> dict[str, Any]:
    return _ours(TsneMethod(), folder, name)


def _umap(folder: Path, name: str) -> dict[str, Any]:
    _warm_umap()
    return _ours(UmapMethod(), folder, name)


def _warm_umap() -> None:
    from umap import UMAP

    UMAP(random_state=0, n_jobs=1).fit(scene(500, 50))
    # Above 4,096 rows umap-learn finds neighbours by descent, which is compiled, too.
    UMAP(random_state=0, n_jobs=1, n_epochs=2, init="random").fit(scene(4200, 50))


def _umap_alone(folder: Path, name: str) -> dict[str, Any]:
    from sklearn.decomposition import PCA
    from umap import UMAP

    vectors = np.load(folder / "vectors.npy")
    given = PCA(min(50, *vectors.shape), random_state=0).fit_transform(vectors)
    _warm_umap()
    clock = _Clock()
    UMAP(random_state=0, n_jobs=1).fit_transform(given)
    return clock.figures()


def _scikit_learn(folder: Path, name: str) -> dict[str, Any]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE, trustworthiness

    vectors = np.load(folder / "vectors.npy")
    clock = _Clock()
    given = vectors
    if name.endswith("pca"):
        given = PCA(min(50, *vectors.shape), random_state=0).fit_transform(vectors)
    drawn = TSNE(n_jobs=2, random_state=0).fit_transform(given)
    clock.step("tsne")
    value = float(trustworthiness(vectors, drawn, n_neighbors=_NEIGHBOURS))
    clock.step("trustworthiness")
    return clock.figures() | {"trustworthiness": value}


SIDES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "ours": _tsne,
    "scikit_learn": _scikit_learn,
    "scikit_learn_pca": _scikit_learn,
    "umap": _umap,
    "umap_alone": _umap_alone,
}


if __name__ == "__main__":
    main("projection_speed", measure)
