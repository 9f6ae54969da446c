"""Search by text over stored image features: with stored prompts, or with the encoder when asked.

No model is loaded where the words are among the prompts of the same model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.errors import RecipeError, nearest
from conf.models import ModelSpec
from conf.runtime import Runtime
from storage.catalog import Entry
from storage.home import StoreView
from storage.images import ImageFeatures
from storage.prompts import Prompts, open_prompts
from storage.store import Artifact, ArtifactStore
from tasks.compute.norms import unit_rows

SHOWN = 60

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The images nearest to a text."""

    text: str
    """What was compared: the prompt as its template says it, where one was stored."""
    by: str
    """Whose text feature it is: a prompt artifact's key, or "the encoder"."""
    contents: tuple[str, ...]
    """The sha256 of each image, nearest first."""
    cosines: tuple[float, ...]


class UnknownWords(RecipeError):
    """No prompt of the same model says these words."""


def prompts_for(view: StoreView, features: Entry) -> list[Entry]:
    """Return the prompt features that were made by the model of `features`, newest first."""
    model = features.recipe.get("model")
    return [
        entry
        for entry in view.entries
        if entry.kind == "prompt-features" and entry.recipe.get("model") == model
    ]


def words_for(view: StoreView, features: Entry) -> tuple[str, ...]:
    """Return the words that can be searched for without loading a model, sorted."""
    told = (entry.recipe["prompts"]["vocabulary"] for entry in prompts_for(view, features))
    return tuple(sorted({word for words in told for word in words}, key=str.lower))


def find_images(
    view: StoreView, features: Entry, words: str, runtime: Runtime, *, encode: bool = False
) -> Found:
    """Return the images of `features` nearest to `words`, by the cosine of their features.

    With `encode`, words that no prompt says are encoded, which loads the model. Raises
    UnknownWords, which names the nearest.
    """
    vector, text, by = _known_words(view, features, words) or _encoded(
        view, features, words, runtime, encode=encode
    )
    contents, vectors = _features(view.store, features.key)
    cosines = vectors @ vector
    best = np.argsort(-cosines, kind="stable")[:SHOWN]
    return Found(text, by, tuple(contents[at] for at in best), tuple(map(float, cosines[best])))


def _known_words(view: StoreView, features: Entry, words: str) -> tuple[Vectors, str, str] | None:
    wanted = words.strip().casefold()
    for entry in prompts_for(view, features):
        vocabulary = [word.casefold() for word in entry.recipe["prompts"]["vocabulary"]]
        if wanted in vocabulary:
            prompts = _prompts(view.store, entry.key)
            at = vocabulary.index(wanted)
            said = prompts.texts[at * len(prompts.templates)]
            return prompts.text_features[at], said, entry.key
    return None


def _encoded(
    view: StoreView, features: Entry, words: str, runtime: Runtime, *, encode: bool
) -> tuple[Vectors, str, str]:
    if not encode:
        known = words_for(view, features)
        close = nearest(words.strip(), known)
        hint = f"Did you mean {close!r}? " if close else ""
        there = f"{len(known):,} words are" if known else "No word is"
        raise UnknownWords(
            f"No stored prompt of this model says {words.strip()!r}. {hint}{there} known without "
            "the model; let it encode yours, which loads it."
        )
    from tasks.models.load import load_encoder

    spec = ModelSpec.model_validate(features.recipe["model"])
    (vector,) = load_encoder(spec, runtime).encode_texts([words.strip()])
    return np.asarray(vector, np.float32), words.strip(), "the encoder"


@lru_cache(maxsize=2)
def _features(store: ArtifactStore, key: str) -> tuple[Sequence[str], Vectors]:
    """Return the contents and unit vectors of image features; what is published never changes."""
    reader = ImageFeatures(store, _handle(store, key))
    return reader.contents, unit_rows(reader.pooled().astype(np.float32))


@lru_cache(maxsize=16)
def _prompts(store: ArtifactStore, key: str) -> Prompts:
    return open_prompts(store, _handle(store, key))


def _handle(store: ArtifactStore, key: str) -> Artifact:
    found: Any = store.manifest(key)
    return Artifact(kind=key.rpartition("-v")[0], key=key, rows=found.held_rows, store=store.uuid)
