"""Small activation files, and the seed's own functions to compare with."""

import types
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks._making import PlainRun
from conf.runtime import Runtime
from conf.tokens import FilesSource, Values
from flows.tokens import make_index as build_index
from storage.tokens import TokenIndex
from storage.tokens.seedfiles import write_activations, write_metadata

Array = np.ndarray[Any, Any]


# The seed's functions, as its document has them.


def get_feature_activation(h5_file: Any, token_idx: int, feature_idx: int) -> float:
    active_features = h5_file["z_idx"][token_idx]
    active_values = h5_file["z_val"][token_idx]
    mask = active_features == feature_idx
    if np.any(mask):
        return float(active_values[mask][0])
    return 0.0


def get_feature_activations_chunk(h5_file: Any, feature_idx: int, start: int, end: int) -> Array:
    chunk_size = end - start
    activations = np.zeros(chunk_size, dtype=np.float32)
    indices_chunk = h5_file["z_idx"][start:end]
    values_chunk = h5_file["z_val"][start:end]
    for i in range(chunk_size):
        mask = indices_chunk[i] == feature_idx
        if np.any(mask):
            activations[i] = values_chunk[i][mask][0]
    return activations


def review_token_positions(f: Any) -> dict[str, list[int]]:
    review_token_positions = defaultdict(list)
    total_tokens = f["z_idx"].shape[0]
    chunk_size = 100_000
    for start in range(0, total_tokens, chunk_size):
        end = min(start + chunk_size, total_tokens)
        chunk_rev_ids = f["rev_idx"][start:end]
        for local_idx, rev_id in enumerate(chunk_rev_ids):
            rev_id_str = rev_id.decode("utf-8") if isinstance(rev_id, bytes) else str(rev_id)
            global_idx = start + local_idx
            review_token_positions[rev_id_str].append(global_idx)
    return dict(review_token_positions)


def extract_context(
    tok: Any,
    global_token_idx: int,
    rev_id: str,
    review_lookup: dict[str, str],
    review_token_positions: dict[str, list[int]],
    context_before: int = 20,
    context_after: int = 10,
) -> dict[str, Any] | None:
    review_text = review_lookup.get(rev_id)
    if not review_text:
        return None
    positions = review_token_positions.get(rev_id, [])
    if global_token_idx not in positions:
        return None
    local_position = positions.index(global_token_idx)
    tokens = tok(review_text, add_special_tokens=False).input_ids
    token_strings = tok.convert_ids_to_tokens(tokens)
    if local_position >= len(token_strings):
        return None
    start = max(0, local_position - context_before)
    end = min(len(token_strings), local_position + context_after + 1)
    context_tokens = token_strings[start:end]
    context_str = " ".join([t.replace("Ġ", " ") for t in context_tokens])
    return {
        "context": context_str,
        "active_token": token_strings[local_position].replace("Ġ", " "),
        "position": local_position,
        "review_id": rev_id,
    }


@pytest.fixture(scope="session")
def seed() -> types.SimpleNamespace:
    """Return the seed's functions."""
    return types.SimpleNamespace(
        get_feature_activation=get_feature_activation,
        get_feature_activations_chunk=get_feature_activations_chunk,
        review_token_positions=review_token_positions,
        extract_context=extract_context,
    )


# Activation files


def write_files(
    folder: Path,
    features: Array,
    values: Array,
    reviews: Array,
    *,
    texts: Sequence[str] | None = None,
    stars: Sequence[int] | None = None,
    dtypes: tuple[str, str] = ("i4", "f4"),
) -> FilesSource:
    """Write an activation file and its metadata, and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    count = int(reviews.max()) + 1 if len(reviews) else 0
    ids = [f"review-{number}" for number in range(count)]
    files = FilesSource(activations=folder / "features.h5", metadata=folder / "metadata.npz")
    n_tokens, k = features.shape
    blocks = [(features, values, reviews)]
    write_activations(files.activations, blocks, ids, n_tokens=n_tokens, k=k, dtypes=dtypes)
    order = np.random.default_rng(0).permutation(count)  # metadata stand in an order of their own
    columns: dict[str, Sequence[Any]] = {
        "review_ids": ids,
        "texts": texts or [f"text of {name}" for name in ids],
        "stars": stars or [1 + number % 5 for number in range(count)],
        "useful": [number % 3 for number in range(count)],
        "user_ids": [f"user-{number % 7}" for number in range(count)],
        "business_ids": [f"place-{number % 4}" for number in range(count)],
    }
    write_metadata(files.metadata, {n: [v[row] for row in order] for n, v in columns.items()})
    return files


def make_index(
    files: FilesSource,
    store: Path,
    n_features: int,
    *,
    values: Values = "f32",
    part_rows: int | None = None,
    tokenizer: str | None = None,
) -> TokenIndex:
    """Return the index over `files`, made as the flow makes it, without a server."""
    run = PlainRun("tokens", Runtime(store=store, part_rows=part_rows, progress=False))
    return TokenIndex(run.store, build_index(run, files, n_features, values, tokenizer))


@pytest.fixture(scope="session")
def files_of() -> Callable[..., FilesSource]:
    """Return the function that writes an activation file and its metadata."""
    return write_files


@pytest.fixture(scope="session")
def index_of() -> Callable[..., TokenIndex]:
    """Return the function that makes an index by the real tasks."""
    return make_index


def random_entries(n_tokens: int, k: int, n_features: int, seed: int = 0) -> tuple[Array, Array]:
    """Return features without repeats and values with ties, zeros and negatives among them."""
    random = np.random.default_rng(seed)
    drawn = random.random((n_tokens, n_features), dtype=np.float32)
    features = np.argpartition(drawn, k, axis=1)[:, :k].astype(np.int32)
    values = random.integers(-1, 12, (n_tokens, k)).astype(np.float32) / 4
    return features, np.maximum(values, np.where(values < 0, values, 0))


@pytest.fixture(scope="session")
def entries() -> Callable[..., tuple[Array, Array]]:
    """Return the function that draws features and values."""
    return random_entries


@pytest.fixture(scope="session")
def opened() -> Callable[[FilesSource], Any]:
    """Return what opens an activation file with plain h5py."""
    return lambda files: h5py.File(files.activations, "r")
