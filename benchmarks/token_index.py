"""How fast activations become an index, against scipy's whole job to the same bytes on disk.

Ours: read, count, sort, statistics, float16, checksums, fsync and publishing, one part of 2^20
tokens after the other. Theirs: read, `tocsc`, count, sum, max, sum of squares, float16, write and
fsync. CPU seconds of the process, all threads; the input, int32 and float32, lies in the page
cache. The scaling is measured in processes of their own, and so is the peak memory.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks._harness import Figures, alternate, main, median_ratio, peak_memory_bytes, rounded
from benchmarks._making import quiet_runtime
from benchmarks._token_files import FEATURES, K, write_token_files
from benchmarks._tokens import build, keep, warmed
from conf.tokens import FilesSource

_TOKENS, _ROUNDS = 2_000_000, 5
_SIZES = (500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000)


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return entries per CPU second, their ratio to scipy's, and the exponent of growth."""
    tokens = 20_000 if small else _TOKENS
    files = write_token_files(folder / "files", tokens)
    _ours(folder / "first", write_token_files(folder / "few", 1000))  # compiled, not counted
    warmed(files.activations)
    sides = {
        "ours": lambda _: _ours(folder / "store", files)[0],
        "scipy": lambda _: _scipy(folder / "scipy", files.activations),
    }
    seconds = alternate(sides, 2 if small else _ROUNDS)
    wall = _ours(folder / "store", files)[1]
    shutil.rmtree(files.activations.parent)
    entries = tokens * K
    ours, theirs = min(seconds["ours"]), min(seconds["scipy"])
    return {
        "ratio": round(median_ratio(seconds["scipy"], seconds["ours"]), 3),
        "unit": "entries per CPU second / entries per CPU second of scipy's job",
        "entries_per_cpu_second": round(entries / ours),
        "scipy_entries_per_cpu_second": round(entries / theirs),
        "best_ratio": round(theirs / ours, 3),
        "seconds": round(wall, 3),
        "all_cpu_seconds": rounded(seconds["ours"]),
        "all_scipy_cpu_seconds": rounded(seconds["scipy"]),
        **_scaling(folder, [(2_000, 4_000)] if small else [(size,) for size in _SIZES]),
    }


def _ours(store: Path, files: FilesSource) -> tuple[float, float]:
    runtime = quiet_runtime(store)
    _, cpu, wall = build(files, keep(files, runtime), runtime, FEATURES)
    shutil.rmtree(store)
    return cpu, wall


def _scipy(folder: Path, path: Path) -> float:
    from scipy.sparse import csr_array

    began = time.process_time()
    with h5py.File(path) as file:
        features, values = file["z_idx"][:], file["z_val"][:]
    rows = np.arange(len(features) + 1, dtype=np.int64) * features.shape[1]
    shape = (len(features), FEATURES)
    columns = csr_array((values.ravel(), features.ravel(), rows), shape=shape).tocsc()
    count = np.diff(columns.indptr)
    starts = columns.indptr[:-1]
    statistics = [
        count,
        np.where(count, np.add.reduceat(columns.data, starts, dtype=np.float64), 0),
        np.where(count, np.maximum.reduceat(columns.data, starts), 0),
        np.where(count, np.add.reduceat(np.square(columns.data), starts, dtype=np.float64), 0),
    ]
    halves, tokens = columns.data.astype(np.float16), columns.indices.astype(np.uint16)
    folder.mkdir()
    for number, rows in enumerate((*statistics, columns.indptr, tokens, halves)):
        _write(folder / f"{number}.bin", rows)
    seconds = time.process_time() - began
    shutil.rmtree(folder)
    return seconds


def _write(path: Path, rows: "np.ndarray[Any, Any]") -> None:
    with path.open("wb") as file:
        rows.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def _scaling(folder: Path, processes: list[tuple[int, ...]]) -> Figures:
    """Return CPU seconds by number of tokens, the exponent of their growth, and the most memory;
    each of `processes` measures some sizes."""
    found: dict[int, dict[str, float]] = {}
    for sizes in processes:
        found |= _apart(folder, sizes)
    x = np.log([float(size) for size in found])
    slope = np.polyfit(x, np.log([one["cpu_seconds"] for one in found.values()]), 1)[0]
    return {
        "exponent": round(float(slope), 3),
        "cpu_seconds_by_tokens": {str(n): one["cpu_seconds"] for n, one in found.items()},
        "build_peak_memory_bytes": max(one["peak_memory_bytes"] for one in found.values()),
    }


def _apart(folder: Path, sizes: tuple[int, ...]) -> dict[int, dict[str, float]]:
    folders = [str(folder / f"grow-{size}") for size in sizes]
    for name, size in zip(folders, sizes, strict=True):
        write_token_files(Path(name), size)
    code = f"from benchmarks.token_index import alone; alone({folders!r})"
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    for name in folders:
        shutil.rmtree(name)
    lines = told.splitlines()[-len(sizes) :]
    return {size: json.loads(line) for size, line in zip(sizes, lines, strict=True)}


def alone(names: list[str]) -> None:
    """Print a line for each folder: CPU seconds (the better of two) of indexing its files, and this
    process's peak memory."""
    _ours(Path(names[0]) / "first", write_token_files(Path(names[0]) / "few", 1000))
    for folder in map(Path, names):
        files = FilesSource(activations=folder / "features.h5", metadata=folder / "metadata.npz")
        warmed(files.activations)
        seconds = min(_ours(folder / "store", files)[0] for _ in range(2))
        told = {"cpu_seconds": round(seconds, 4), "peak_memory_bytes": _own_peak_bytes()}
        print(json.dumps(told))


def _own_peak_bytes() -> int:
    """Return the most memory of this process; what the kernel counts for it began as its
    parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory_bytes()
    (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main("token_index", measure)
