"""Indexes made by the real tasks, without a server."""

import time
from pathlib import Path

from conf.runtime import Runtime
from conf.tokens import SEGMENT_TOKENS, FilesSource, IndexRecipe, PostingsRecipe, ReviewsRecipe
from storage.drafts import Making
from storage.hashes import Hashes
from storage.publishing import driving, seal
from storage.store import Artifact, ArtifactStore
from storage.tokens import TokenIndex
from storage.tokens.postings import segment_names
from storage.tokens.source import open_activations
from tasks.tokens import index_part, join_index, keep_reviews


def keep(files: FilesSource, runtime: Runtime) -> Artifact:
    """Return the published reviews of `files`."""
    store = ArtifactStore(runtime.store)
    with Hashes(runtime.store / "hashes.sqlite") as hashes:
        names = [hashes.sha256_of_file(path) for path in (files.activations, files.metadata)]
    recipe = ReviewsRecipe(activations_sha256=names[0], metadata_sha256=names[1])
    with driving(store, Making(recipe, {}, ("reviews",))) as draft:
        for part in draft.pending() if draft else ():
            keep_reviews.fn(recipe, part=part, files=files, tokenizer=None, runtime=runtime)
    return seal(store, recipe.key())


def build(
    files: FilesSource, reviews: Artifact, runtime: Runtime, n_features: int
) -> tuple[TokenIndex, float, float]:
    """Return a new index, and the CPU and wall seconds from its first read to its publishing."""
    store = ArtifactStore(runtime.store)
    found = store.manifest(reviews.key).recipe["activations_sha256"]
    recipe = PostingsRecipe(activations_sha256=found, n_features=n_features)
    with open_activations(files.activations) as source:
        rows = segment_names(source.n_tokens, SEGMENT_TOKENS)
    making = Making(recipe, {}, rows)
    cpu, wall = time.process_time(), time.perf_counter()
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            index_part.fn(recipe, part=part, activations=files.activations, runtime=runtime)
    artifact = _joined(store, seal(store, making.key), reviews, runtime)
    seconds = time.process_time() - cpu, time.perf_counter() - wall
    return TokenIndex(store, artifact), *seconds


def _joined(
    store: ArtifactStore, postings: Artifact, reviews: Artifact, runtime: Runtime
) -> Artifact:
    inputs = {"postings": store.key_of(postings), "reviews": store.key_of(reviews)}
    making = Making(IndexRecipe(), inputs, ("index",))
    with driving(store, making) as draft:
        for part in draft.pending() if draft else ():
            join_index.fn(IndexRecipe(), postings, reviews, part=part, runtime=runtime)
    return seal(store, making.key)


def warmed(path: Path) -> Path:
    """Return `path`, read once, so that it lies in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    return path
