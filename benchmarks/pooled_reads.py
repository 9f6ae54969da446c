"""A full read of pooled features through our reader, against chunks of one row.

Ours: the concept store's reader over chunks of 1024 rows. Against it: h5py on the same values in
chunks (1, D), as feature stores that append row by row have them, and a numpy memmap of the same
values, copied. The disk's cache is warm for all three.
"""

from pathlib import Path

import h5py
import numpy as np

from benchmarks._harness import Figures, alternate, main, median_ratio, rounded, timed
from benchmarks._views import write_view
from storage.concepts import RowReader

_DIM = 1152
_ROWS, _SMALL_ROWS = 100_000, 4000
_ROUNDS = 7
_NAME = "image_features"


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratio of seconds, theirs to ours."""
    rows = _SMALL_ROWS if small else _ROWS
    values = np.random.default_rng(0).standard_normal((rows, _DIM), np.float32).astype(np.float16)
    view = write_view(folder, _NAME, values)
    thin, raw = folder / "thin.h5", folder / "raw.npy"
    with h5py.File(thin, "w") as file:
        file.create_dataset(_NAME, data=values, chunks=(1, _DIM))
    np.save(raw, values)
    mapped = np.load(raw, mmap_mode="r")
    with h5py.File(view) as ours, h5py.File(thin) as theirs:
        reader = RowReader(ours[_NAME])
        assert np.array_equal(reader.read(), values)
        seconds = alternate(
            {
                "ours": lambda n: timed(lambda: reader.read()),
                "h5py": lambda n: timed(lambda: theirs[_NAME][:]),
                "memmap": lambda n: timed(lambda: np.array(mapped)),
            },
            _ROUNDS,
        )
    return {
        "ratio": round(median_ratio(seconds["h5py"], seconds["ours"]), 2),
        "unit": "times as fast as chunks of one row",
        "memmap_ratio": round(median_ratio(seconds["memmap"], seconds["ours"]), 3),
        "best_ratio": round(min(seconds["h5py"]) / min(seconds["ours"]), 2),
        "best_memmap_ratio": round(min(seconds["memmap"]) / min(seconds["ours"]), 3),
        "rows": rows,
        "seconds": rounded(seconds["ours"]),
        "h5py_seconds": rounded(seconds["h5py"]),
        "memmap_seconds": rounded(seconds["memmap"]),
        "bytes_per_second": round(values.nbytes / float(np.median(seconds["ours"]))),
    }


if __name__ == "__main__":
    main("pooled_reads", measure)
