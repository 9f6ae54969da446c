"""Activation files of any size: features drawn like words, few often and most seldom."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from conf.tokens import FilesSource
from storage.tokens.seedfiles import write_activations, write_metadata

Array = np.ndarray[Any, Any]

FEATURES, K = 24_576, 32
_BLOCK_TOKENS = 1 << 16
_POOL_BLOCKS = 8


def write_token_files(
    folder: Path, n_tokens: int, *, seed: int = 0, texts: bool = False
) -> FilesSource:
    """Write an activation file (int32, float32) with metadata, and return where they are.

    With `texts` every review has as many words, one token each for MiniLM, as it has tokens.

    Beyond half a million tokens its blocks repeat with their features turned on by some places, so
    that a large file is written at the speed of the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    reviews = _reviews(n_tokens, random)
    ids = [f"review-{number:015d}" for number in range(int(reviews[-1]) + 1)]
    files = FilesSource(activations=folder / "features.h5", metadata=folder / "metadata.npz")
    blocks = _blocks(n_tokens, reviews, random)
    write_activations(files.activations, blocks, ids, n_tokens=n_tokens, k=K)
    stars = random.integers(1, 6, len(ids)).tolist()
    some = [f"someone-{number % 5000}" for number in range(len(ids))]
    columns: dict[str, list[Any]] = {
        "review_ids": ids,
        "texts": _texts(np.bincount(reviews)) if texts else ["a text"] * len(ids),
        "stars": stars,
        "useful": stars,
        "user_ids": some,
        "business_ids": some,
    }
    write_metadata(files.metadata, columns)
    return files


def _reviews(n_tokens: int, random: np.random.Generator) -> Array:
    lengths = random.integers(1, 230, n_tokens // 100 + 10)
    owner: Array = np.repeat(np.arange(len(lengths)), lengths)[:n_tokens]
    return owner


def _texts(lengths: Array) -> list[str]:
    words = [*("the", "food", "was", "good", "and", "we", "will", "come", "back"), "soon"]
    long = " ".join(words * (1 + int(lengths.max(initial=0)) // len(words))).split()
    return [" ".join(long[:length]) for length in lengths.tolist()]


def _blocks(
    n_tokens: int, reviews: Array, random: np.random.Generator
) -> Iterator[tuple[Array, Array, Array]]:
    blocks, tokens = -(-n_tokens // _BLOCK_TOKENS), min(n_tokens, _BLOCK_TOKENS)
    pool = [_block(random, tokens) for _ in range(min(_POOL_BLOCKS, blocks))]
    for number, start in enumerate(range(0, n_tokens, _BLOCK_TOKENS)):
        size = min(_BLOCK_TOKENS, n_tokens - start)
        features, values = pool[number % len(pool)]
        turned = (features[:size] + np.int32(number // len(pool))) % np.int32(FEATURES)
        yield turned, values[:size], reviews[start : start + size]


def _block(random: np.random.Generator, tokens: int) -> tuple[Array, Array]:
    """Return features (tokens, k), each once a token, and values, in no order."""
    weights = np.cumsum(1 / (np.arange(FEATURES - K + 1) + 50.0))
    drawn = np.searchsorted(weights, random.random((tokens, K)) * weights[-1])
    drawn.sort(axis=1)
    places = np.random.default_rng(7).permutation(FEATURES).astype(np.int32)
    features = places[drawn + np.arange(K)]  # ascending, so that adding 0, 1, ... tells them apart
    order = random.permuted(np.tile(np.arange(K), (tokens, 1)), axis=1)
    features = np.take_along_axis(features, order, axis=1)
    return features, random.exponential(1.0, features.shape).astype(np.float32)


if __name__ == "__main__":
    print(write_token_files(Path(sys.argv[1]), int(sys.argv[2])))
