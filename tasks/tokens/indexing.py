"""Indexing: reviews are kept, activations are turned from token-major to feature-major."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from conf.runtime import Runtime
from conf.tokens import SEGMENT_TOKENS, FilesSource, IndexRecipe, PostingsRecipe, ReviewsRecipe
from storage.atomic import write_json
from storage.store import Artifact, ArtifactStore
from storage.tokens import TokenPostings
from storage.tokens.errors import BadActivations
from storage.tokens.npz import read_arrays
from storage.tokens.positions import map_positions
from storage.tokens.postings import (
    Span,
    Summary,
    segment_number,
    write_summary,
    writing_entries,
)
from storage.tokens.reviews import Reviews, review_frame, write_reviews
from storage.tokens.source import Activations, open_activations
from storage.tokens.unchanged import check_unchanged
from tasks.compute.tokens.postings import BadEntry, gather_entries, part_entries
from tasks.declaring import part_task
from tasks.progress import advance
from tasks.stopping import check_not_stopped
from tasks.tokens.tokenizers import TextTokenizer, check_counts

JOINED = "joined.json"
_FAULTS = {
    1: "z_idx[{token}, {slot}] is {feature}, out of range: with n_features = {n_features} features "
    "are 0 to {last}. Set n_features to what the autoencoder has; pad short rows with feature 0 "
    "and the value 0",
    2: "z_val[{token}, {slot}] is {value}, not a finite float32. Correct what wrote the file; "
    "a feature that is not active has the value 0",
    3: 'z_val[{token}, {slot}] is {value}, too large for float16 (65,504): set values = "f32"',
    4: "z_idx[{token}, {slot}] is {feature}, which the token lists again with a value that this "
    "one hides: the file is ambiguous. List a feature once a token",
}


@part_task
def keep_reviews(
    recipe: ReviewsRecipe,
    *,
    part: str,
    files: FilesSource,
    tokenizer: str | None,
    runtime: Runtime,
) -> int:
    """Seal the reviews and the position map of `files`, and return how many reviews there are.

    With a tokenizer every review's text is tokenized and its count compared with the file's.
    """
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    draft = store.open_draft(recipe.key())
    with open_activations(files.activations) as source:
        positions = map_positions(source)
        frame = review_frame(read_arrays(files.metadata), source.review_ids(), files.metadata)
    read: dict[Path, str | None] = {
        files.activations: recipe.activations_sha256,
        files.metadata: recipe.metadata_sha256,
    }
    if tokenizer:
        found = TextTokenizer.load(tokenizer, runtime.models)
        check_counts(found, frame["review_id"], frame["full_text"], positions.lengths)
        read[found.path] = recipe.tokenizer_sha256
    with draft.write_part(part) as writer:
        write_reviews(writer, frame, positions)
        check_unchanged(store, read)
    return len(frame)


@part_task
def index_part(recipe: PostingsRecipe, *, part: str, activations: Path, runtime: Runtime) -> int:
    """Seal the postings of the segments of `part`, and return how many segments those are."""
    check_not_stopped()
    from tasks.compute.tokens.kernels import bin_edges

    store = ArtifactStore(runtime.store)
    draft = store.open_draft(recipe.key())
    numbers = [segment_number(name) for name in draft.rows_of(part)]
    first = numbers[0] * SEGMENT_TOKENS
    with open_activations(activations) as source, draft.write_part(part) as writer:
        stop = min((numbers[-1] + 1) * SEGMENT_TOKENS, source.n_tokens)
        try:
            parted = part_entries(
                _pieces(source, first, stop, name=str(draft.key)),
                count=len(numbers),
                n_features=recipe.n_features,
                k=source.k,
                first_token=first,
                values=recipe.values,
            )
            with writing_entries(writer, parted.entries, parted.kind) as keep:
                found = gather_entries(parted, keep)
        except BadEntry as bad:
            raise _explained(bad, activations, source, recipe) from bad
        write_summary(
            writer, Summary(**vars(found)), Span(first, stop - first, source.k), bin_edges()
        )
        check_unchanged(store, {activations: recipe.activations_sha256})
    return len(numbers)


@part_task
def join_index(
    recipe: IndexRecipe, postings: Artifact, reviews: Artifact, *, part: str, runtime: Runtime
) -> int:
    """Seal that `postings` and `reviews` are of the same tokens; return how many those are."""
    store = ArtifactStore(runtime.store)
    inputs = {"postings": store.key_of(postings), "reviews": store.key_of(reviews)}
    draft = store.open_draft(recipe.key(**inputs))
    listed, known = TokenPostings(store, postings).n_tokens, Reviews(store, reviews).positions
    if listed != known.n_tokens:
        raise BadActivations(
            f"{postings.key} is of {listed} tokens, {reviews.key} of {known.n_tokens}: they are of "
            "different activation files."
        )
    with draft.write_part(part) as writer:
        write_json(writer.folder / JOINED, {"n_tokens": listed, "n_reviews": known.n_reviews})
    return listed


def _pieces(
    source: Activations, first: int, stop: int, name: str
) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    step = min(source.piece_tokens, SEGMENT_TOKENS)
    room = source.buffers(min(step, stop - first))
    for start in range(first, stop, step):
        end = min(start + step, stop)
        yield source.read(start, end, room)
        if end == stop or (end - first) % SEGMENT_TOKENS == 0:
            advance(name, 1)


def _explained(
    bad: BadEntry, path: Path, source: Activations, recipe: PostingsRecipe
) -> BadActivations:
    features, values = source.listed(bad.token)
    slot = _slot(bad, source, recipe.n_features)
    fault = _FAULTS[bad.fault].format(
        token=bad.token,
        slot=slot,
        feature=features[slot],
        value=f"{values[slot]:g}",
        n_features=recipe.n_features,
        last=recipe.n_features - 1,
    )
    return BadActivations(
        f"{path}: {fault}. Token {bad.token} lists the features {_some(features)} with the values "
        f"{_some(values)}. No index is made of it."
    )


def _slot(bad: BadEntry, source: Activations, n_features: int) -> int:
    """Return which of the entries of a refused token is the first that is at fault."""
    (features,), (values,) = source.read(bad.token, bad.token + 1)
    again = np.triu(features[:, None] == features, k=1) & (values > 0)
    at_fault = {
        1: (features < 0) | (features >= n_features),
        2: ~np.isfinite(values),
        3: values == values.max(),
        4: again.any(axis=1),
    }
    return int(at_fault[bad.fault].argmax())


def _some(values: list[Any]) -> str:
    shown = ", ".join(f"{v:g}" if isinstance(v, float) else f"{v}" for v in values[:40])
    return f"[{shown}{', ...' if len(values) > 40 else ''}]"
