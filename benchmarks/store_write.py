"""How fast token parts are sealed, against plain writes of the same bytes to the same disk.

Ours: write the HDF5 files, hash them, fsync file and directory, rename, write the marker the same
way. Theirs: blocks of 8 MiB and one fsync.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._harness import Figures, alternate, main, median_ratio, rounded, timed
from conf.images import ImageRecipe
from conf.keys import ArtifactKey
from conf.models import ModelSpec
from storage.drafts import Draft, Making
from storage.images import write_part
from storage.publishing import driving
from storage.store import ArtifactStore

_BLOCK_BYTES = 1 << 23  # 8 MiB
_ROUNDS = 7
_SHAPE = (256, 729, 1152)
_SMALL_SHAPE = (16, 49, 64)

Array = np.ndarray[Any, Any]


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratio of rates, ours to plain, the median of seven alternating pairs."""
    tokens = _tokens(_SMALL_SHAPE if small else _SHAPE)
    rounds = 2 if small else _ROUNDS
    making = _making(len(tokens) * (rounds + 1))
    with driving(ArtifactStore(folder / "store"), making, part_rows=len(tokens)) as draft:
        assert draft is not None
        sides = {"ours": _ours(draft, tokens), "plain": _plain(folder / "plain", tokens)}
        for side in sides.values():
            side(rounds)  # a round that does not count: first writes find a cold allocator
        seconds = alternate(sides, rounds)
    return _figures(seconds, tokens.nbytes)


def _figures(seconds: dict[str, list[float]], size_bytes: int) -> Figures:
    ours, plain = median(seconds["ours"]), median(seconds["plain"])
    return {
        "ratio": round(median_ratio(seconds["plain"], seconds["ours"]), 3),
        "unit": "rate of sealing a part / rate of plain writes and fsync",
        "seconds": round(ours, 4),
        "plain_seconds": round(plain, 4),
        "part_bytes": size_bytes,
        "megabytes_per_second": round(size_bytes / ours / 1e6, 1),
        "plain_megabytes_per_second": round(size_bytes / plain / 1e6, 1),
        "all_seconds": rounded(seconds["ours"]),
        "all_plain_seconds": rounded(seconds["plain"]),
    }


def _ours(draft: Draft, tokens: Array) -> Callable[[int], float]:
    parts = list(draft.part_rows)
    pooled = np.ascontiguousarray(tokens[:, 0])

    def write(number: int) -> float:
        part = parts[number]

        def work() -> None:
            with draft.write_part(part) as writer:
                write_part(writer, draft.rows_of(part), pooled, tokens, "0" * 64)

        seconds = timed(work)
        shutil.rmtree(draft.parts / part)  # the marker stays: the part counts as sealed
        return seconds

    return write


def _plain(path: Path, tokens: Array) -> Callable[[int], float]:
    data = tokens.data.cast("B")

    def work() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        for start in range(0, len(data), _BLOCK_BYTES):
            os.write(descriptor, data[start : start + _BLOCK_BYTES])
        os.fsync(descriptor)
        os.close(descriptor)

    def write(number: int) -> float:
        seconds = timed(work)
        path.unlink()
        return seconds

    return write


def _tokens(shape: tuple[int, int, int]) -> Array:
    random = np.random.default_rng(0)
    tokens = np.empty(shape, np.float16)
    for row in tokens:
        row[:] = random.standard_normal(row.shape, np.float32)
    return tokens


def _making(rows: int) -> Making:
    model = ModelSpec(family="toy", precision="fp32", sha256="0" * 64, library="toy==1")
    contents = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(rows)]
    inputs = {"content": ArtifactKey.of("content", 1, sorted(contents))}
    return Making(ImageRecipe(model=model, tokens=True), inputs, contents)


if __name__ == "__main__":
    main("store_write", measure)
