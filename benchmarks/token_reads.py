"""64 random rows of patch tokens through our reader, against h5py's selection by a list.

Ours: the concept store's reader over sealed parts, contiguous and uncompressed. Against it:
`dataset[idx]` on the same values in chunks of one row, which is how such files usually lie, and a
numpy memmap of the same values. The disk's cache is warm for all three.
"""

from pathlib import Path

import h5py
import numpy as np

from benchmarks._harness import Figures, alternate, main, median_ratio, rounded, timed
from benchmarks._views import write_view
from storage.concepts import RowReader

_TOKENS, _DIM = 729, 1152
_ROWS, _SMALL_ROWS, _PART_ROWS = 512, 24, 256
_WANTED, _SMALL_WANTED = 64, 8
_ROUNDS = 9
_NAME = "image_token_features"


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratio of seconds, theirs to ours."""
    rows, wanted = (_SMALL_ROWS, _SMALL_WANTED) if small else (_ROWS, _WANTED)
    drawn = np.random.default_rng(0)
    values = drawn.standard_normal((rows, _TOKENS, _DIM), np.float32).astype(np.float16)
    view = write_view(folder, _NAME, values, part_rows=_PART_ROWS)
    chunked, raw = folder / "chunked.h5", folder / "raw.npy"
    with h5py.File(chunked, "w") as file:
        file.create_dataset(_NAME, data=values, chunks=(1, _TOKENS, _DIM))
    np.save(raw, values)
    del values
    picks = [np.sort(drawn.choice(rows, wanted, replace=False)) for _ in range(_ROUNDS)]
    mapped = np.load(raw, mmap_mode="r")
    with h5py.File(view) as ours, h5py.File(chunked) as theirs:
        reader = RowReader(ours[_NAME])
        assert np.array_equal(reader.read(picks[0]), theirs[_NAME][picks[0]])
        for start in range(0, rows, wanted):  # every page of all three is in memory
            span = slice(start, start + wanted)
            assert np.array_equal(reader.read(span), mapped[span])
            assert theirs[_NAME][span].shape[0]
        seconds = alternate(
            {
                "ours": lambda n: timed(lambda: reader.read(picks[n])),
                "h5py": lambda n: timed(lambda: theirs[_NAME][picks[n]]),
                "memmap": lambda n: timed(lambda: mapped[picks[n]]),
            },
            _ROUNDS,
        )
    size_bytes = wanted * _TOKENS * _DIM * 2
    return {
        "ratio": round(median_ratio(seconds["h5py"], seconds["ours"]), 2),
        "unit": "times as fast as h5py's selection by a list",
        "memmap_ratio": round(median_ratio(seconds["memmap"], seconds["ours"]), 3),
        "best_ratio": round(min(seconds["h5py"]) / min(seconds["ours"]), 2),
        "best_memmap_ratio": round(min(seconds["memmap"]) / min(seconds["ours"]), 3),
        "rows": wanted,
        "seconds": rounded(seconds["ours"]),
        "h5py_seconds": rounded(seconds["h5py"]),
        "memmap_seconds": rounded(seconds["memmap"]),
        "bytes_per_second": round(size_bytes / float(np.median(seconds["ours"]))),
    }


if __name__ == "__main__":
    main("token_reads", measure)
