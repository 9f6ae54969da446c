"""Whether memory grows with the number of rows: 1,000 images, then 4,000, each in its own process.

The toy encoder is used: a real model holds hundreds of megabytes of its own, in which a leak of
images would not be seen. Decoded images of all rows would take 200 MB for every 1,000.
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks._harness import Figures, main, peak_memory_bytes

_SIDE_PX = 256
_ROWS = (1000, 4000)
_SMALL_ROWS = (32, 288)


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the peak memory of encoding many rows, and its ratio to that of encoding few."""
    few, many = _SMALL_ROWS if small else _ROWS
    peaks = {rows: _run(folder / str(rows), rows) for rows in (few, many)}
    return {
        "ratio": round(peaks[many]["peak_memory_bytes"] / peaks[few]["peak_memory_bytes"], 3),
        "unit": f"peak memory of {many} rows / peak memory of {few} rows",
        "rows": many,
        "few_rows": few,
        "rows_peak_memory_bytes": peaks[many]["peak_memory_bytes"],
        "few_rows_peak_memory_bytes": peaks[few]["peak_memory_bytes"],
        "bytes_per_row": round(
            (peaks[many]["peak_memory_bytes"] - peaks[few]["peak_memory_bytes"]) / (many - few)
        ),
        "decoded_bytes_per_row": 3 * _SIDE_PX * _SIDE_PX,
        "seconds": peaks[many]["seconds"],
    }


def _run(folder: Path, rows: int) -> Figures:
    from benchmarks._images import write_patterns

    write_patterns(folder / "photos", rows, _SIDE_PX)
    command = [sys.executable, "-m", "benchmarks.memory", "encode", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def encode(folder: Path) -> Figures:
    """Encode the photos in `folder` by the real tasks, tokens too; return seconds and memory."""
    from benchmarks import _making as making
    from conf.sources.folder import Source
    from storage.publishing import seal
    from storage.store import ArtifactStore

    runtime = making.quiet_runtime(folder / "store", lanes=2)
    source = Source(root=folder / "photos")
    recipe = making.image_recipe(making.TOY, runtime, tokens=True)
    dataset, ledger = making.keep_dataset(source, runtime)
    with making.image_draft(recipe, ledger, runtime) as draft:
        seconds = making.encode_parts(recipe, dataset, source, runtime, draft.pending())
        seal(ArtifactStore(runtime.store), draft.key)
    return {"seconds": round(seconds, 3), "peak_memory_bytes": peak_memory_bytes()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["encode"]:
        print(json.dumps(encode(Path(sys.argv[2]))))
    else:
        main("memory", measure)
