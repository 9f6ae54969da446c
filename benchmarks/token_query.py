"""How fast an index answers, against the seed's scan of the same file and NumPy's statistics.

`ratio`: all tokens of a feature, the median over 200 random features that are active, each asked
once, against the seed's chunked scan, timed on a sample of the tokens and scaled to all.
`statistics_ratio`: count, sum, max, sum of squares and histogram of all features, from the same
arrays in feature order, against `reduceat` and `bincount`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np

from benchmarks._harness import Figures, alternate, main
from benchmarks._making import quiet_runtime
from benchmarks._token_files import FEATURES, write_token_files
from benchmarks._tokens import build, keep
from storage.tokens import TokenIndex
from tasks.compute.tokens.postings import describe
from tasks.tokens.contexts import contexts_of

_TOKENS, _ASKED, _SAMPLE_TOKENS = 2_000_000, 200, 100_000

Array = np.ndarray[Any, Any]


def measure(folder: Path, *, small: bool = False) -> Figures:
    """Return the ratios of times, theirs to ours."""
    tokens = 70_000 if small else _TOKENS
    files = write_token_files(folder / "files", tokens, texts=True)
    runtime = quiet_runtime(folder / "store")
    index, *_ = build(files, keep(files, runtime), runtime, FEATURES)
    random = np.random.default_rng(0)
    asked = random.choice(np.flatnonzero(index.column("count")), _ASKED, replace=False)
    ours = _ask(index, asked[: 20 if small else _ASKED])
    theirs = _scan(files.activations, int(asked[0]), tokens, 2000 if small else _SAMPLE_TOKENS)
    rounds = 2 if small else 7
    seconds = alternate(_statistics(index, tokens), rounds)
    return {
        "ratio": round(theirs / median(ours)),
        "unit": "seconds of the seed's scan / seconds of our answer, all tokens of a feature",
        "seconds": round(median(ours), 7),
        "slowest_seconds": round(max(ours), 7),
        "seed_seconds": round(theirs, 3),
        "top_20_with_contexts_seconds": round(_top(index, asked), 5),
        "statistics_ratio": round(min(seconds["numpy"]) / min(seconds["ours"]), 3),
        "statistics_seconds": round(min(seconds["ours"]), 4),
        "numpy_statistics_seconds": round(min(seconds["numpy"]), 4),
        "entries": int(index.column("count").sum()),
    }


def _ask(index: TokenIndex, features: Array) -> list[float]:
    assert index.parts  # mapped once, as a notebook has it
    seconds = []
    for feature in features.tolist():
        began = time.perf_counter()
        index.postings(feature)
        seconds.append(time.perf_counter() - began)
    return seconds


def _top(index: TokenIndex, features: Array) -> float:
    """Return the median seconds of a feature's 20 strongest tokens with contexts, warm."""
    reader = contexts_of(index, quiet_runtime(index.store.path), "minilm")
    seconds = []
    for feature in features[:21].tolist():
        began = time.perf_counter()
        tokens, _ = index.ranked(feature, 20)
        found = [reader.extract_context(int(token)) for token in tokens]
        seconds.append(time.perf_counter() - began)
        assert all(found)
    return median(seconds[1:])


def _scan(path: Path, feature: int, tokens: int, sample: int) -> float:
    """Return the seconds that the seed's scan takes for a feature."""
    with h5py.File(path, "r") as file:
        began = time.perf_counter()
        activations = np.zeros(sample, dtype=np.float32)
        indices_chunk, values_chunk = file["z_idx"][:sample], file["z_val"][:sample]
        for i in range(sample):
            mask = indices_chunk[i] == feature
            if np.any(mask):
                activations[i] = values_chunk[i][mask][0]
        np.where(activations > 0)
        return (time.perf_counter() - began) * tokens / sample


def _statistics(index: TokenIndex, tokens: int) -> dict[str, Callable[[int], float]]:
    """Return both sides, over the values of all features in one array."""
    found = [index.postings(feature)[1] for feature in range(FEATURES)]
    values = np.concatenate(found)
    halves = values.astype(np.float16)
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in found])])
    sums, squares = np.empty(FEATURES), np.empty(FEATURES)
    most = np.empty(FEATURES, np.uint16)

    def ours(_: int) -> float:
        began = time.process_time()
        histogram = np.zeros((FEATURES, 64), np.uint32)
        describe(offsets, halves.view(np.uint16), sums, squares, most, histogram)
        histogram.sum(axis=1)
        return time.process_time() - began

    def theirs(_: int) -> float:
        began = time.process_time()
        starts = np.minimum(offsets[:-1], len(values) - 1)
        np.add.reduceat(values, starts, dtype=np.float64)
        np.add.reduceat(np.square(values), starts, dtype=np.float64)
        np.maximum.reduceat(values, starts)
        owner = np.repeat(np.arange(FEATURES), np.diff(offsets))
        bins = halves.view(np.uint16) >> 9
        np.bincount(owner * 64 + bins, minlength=FEATURES * 64)
        return time.process_time() - began

    return {"ours": ours, "numpy": theirs}


if __name__ == "__main__":
    main("token_query", measure)
