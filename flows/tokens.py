"""Tokens: sparse autoencoder activations, indexed feature by feature."""

from pathlib import Path

from prefect import flow

from conf.runtime import Runtime
from conf.tokens import (
    SEGMENT_TOKENS,
    FilesSource,
    IndexRecipe,
    Preset,
    ReviewsRecipe,
    Values,
)
from flows.run import Run
from storage.drafts import Making
from storage.hashes import Hashes
from storage.store import Artifact
from storage.tokens.postings import segment_names
from storage.tokens.source import open_activations
from tasks.tokens import index_part, keep_reviews
from tasks.tokens.tokenizers import tokenizer_file


@flow(name="tokens")
def token_index(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Index activations: of files, or made here of texts."""
    run = Run("tokens", runtime or Runtime())
    assert preset.files
    assert preset.n_features
    make_index(run, preset.files, preset.n_features, preset.values, preset.tokenizer)
    return run.close()


def make_index(
    run: Run,
    files: FilesSource,
    n_features: int,
    values: Values,
    tokenizer: str | None,
    prefix: str = "",
) -> Artifact:
    """Return the index over the activations in `files`, with its reviews, made where missing."""
    with open_activations(files.activations) as source:
        rows = segment_names(source.n_tokens, SEGMENT_TOKENS)
        row_bytes = SEGMENT_TOKENS * source.k * (4 if values == "f16" else 6)
    activations, metadata = _sha256(run, files.activations), _sha256(run, files.metadata)
    checked = _sha256(run, tokenizer_file(tokenizer, run.runtime.models)) if tokenizer else None
    kept = ReviewsRecipe(
        activations_sha256=activations, metadata_sha256=metadata, tokenizer_sha256=checked
    )
    reviews = run.make(
        f"{prefix}reviews",
        Making(kept, {}, ("reviews",)),
        keep_reviews,
        files=files,
        tokenizer=tokenizer,
    )
    recipe = IndexRecipe(activations_sha256=activations, n_features=n_features, values=values)
    making = Making(recipe, {"reviews": run.store.key_of(reviews)}, rows, row_bytes=row_bytes)
    return run.make(
        f"{prefix}index",
        making,
        index_part,
        reviews,
        activations=files.activations,
        made={"tokenizer": tokenizer},
    )


def _sha256(run: Run, path: Path) -> str:
    with Hashes(run.runtime.store / "hashes.sqlite") as hashes:
        return hashes.sha256_of_file(path)


FLOW = token_index
