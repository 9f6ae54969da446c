"""Making activations: texts, an autoencoder, and what it finds in a model's hidden states."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.errors import RecipeError
from conf.runtime import Runtime
from conf.tokens import ActivationsRecipe, GrammarSpec, SaeRecipe, TextsRecipe
from storage.store import Artifact, ArtifactStore
from storage.tokens.made import write_part
from storage.tokens.sae import Sae, open_sae, read_sae, weights_file, write_sae
from storage.tokens.texts import open_texts, read_texts, write_texts
from storage.tokens.unchanged import check_unchanged
from tasks.declaring import part_task
from tasks.models.devices import enter_lane
from tasks.models.protocols import Float32
from tasks.models.text_models import TextStates, load_text_states
from tasks.models.train_sae import encode, train_sae
from tasks.progress import advance
from tasks.stopping import check_not_stopped

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_BATCH_REVIEWS = 64
_FEWEST_TOKENS = 20


@part_task
def keep_texts(recipe: TextsRecipe, *, part: str, path: Path | None, runtime: Runtime) -> int:
    """Seal the texts of a file, or of the grammar, and return how many there are."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    draft = store.open_draft(recipe.key())
    if path is not None:
        table = read_texts(path, recipe.columns, recipe.limit)
    else:
        table = _written(recipe.grammar or GrammarSpec()).iloc[: recipe.limit]
    with draft.write_part(part) as writer:
        write_texts(writer, table)
        if path is not None:
            check_unchanged(store, {path: recipe.file_sha256})
    return len(table)


def _written(grammar: GrammarSpec) -> "pd.DataFrame":
    import pandas as pd

    from tasks.compute.synth.reviews import write_reviews

    found = write_reviews(grammar.reviews, grammar.seed)
    names = {"review_ids": "review_id", "texts": "text", "stars": "stars", "useful": "useful",
             "user_ids": "user_id", "business_ids": "business_id"}  # fmt: skip
    return pd.DataFrame({n: [getattr(one, ours) for one in found] for n, ours in names.items()})


@part_task
def train_autoencoder(recipe: SaeRecipe, texts: Artifact, *, part: str, runtime: Runtime) -> int:
    """Seal an autoencoder trained on the hidden states of `texts`; return how many those are."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    draft = store.open_draft(recipe.key(texts=store.key_of(texts)))
    states = _first_states(recipe, open_texts(store, texts)["texts"].tolist(), runtime)
    sae, explained = train_sae(recipe, states, "cpu")
    with draft.write_part(part) as writer:
        write_sae(writer, sae, {"explained_variance": round(explained, 4)})
    return len(states)


def _first_states(recipe: SaeRecipe, texts: list[str], runtime: Runtime) -> Float32:
    model = _ready(load_text_states(recipe.model, runtime))
    found: list[Float32] = []
    count = 0
    for start in range(0, len(texts), _BATCH_REVIEWS):
        batch = model.states(texts[start : start + _BATCH_REVIEWS], _BATCH_REVIEWS)
        found += [states for states in batch if len(states)]
        count += sum(map(len, batch))
        if count >= recipe.tokens:
            break
    states: Float32 = np.concatenate(found or [np.empty((0, 0), np.float32)])[: recipe.tokens]
    if len(states) < _FEWEST_TOKENS:
        raise RecipeError(
            f"An autoencoder cannot be trained on {len(states)} tokens; {_FEWEST_TOKENS} are the "
            "least. Give more texts, raise sae.tokens, or set sae.path."
        )
    return states


def _ready(model: TextStates) -> TextStates:
    enter_lane("cpu", lanes=2)  # half the cores: threads that wait for one another wait long
    return model


@part_task
def activate_part(
    recipe: ActivationsRecipe,
    texts: Artifact,
    sae: Artifact | None = None,
    *,
    part: str,
    sae_path: Path | None,
    runtime: Runtime,
) -> int:
    """Seal the active features of the tokens of a part's reviews; return how many reviews."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    inputs = {"texts": store.key_of(texts)} | ({"sae": store.key_of(sae)} if sae else {})
    draft = store.open_draft(recipe.key(**inputs))
    names = list(draft.rows_of(part))
    table = open_texts(store, texts).set_index("review_ids")
    found = _activate(
        load_text_states(recipe.model, runtime),
        _autoencoder(store, sae, sae_path),
        table.loc[names, "texts"].tolist(),
        name=str(draft.key),
    )
    with draft.write_part(part) as writer:
        write_part(writer, *found)
        if sae_path is not None:
            check_unchanged(store, {weights_file(sae_path): recipe.sae_sha256})
    return len(names)


def _autoencoder(store: ArtifactStore, trained: Artifact | None, folder: Path | None) -> Sae:
    if trained:
        return open_sae(store, trained)
    if folder is None:
        raise RecipeError("There is no autoencoder: train one, or set sae.path to its directory.")
    return read_sae(folder)


def _activate(
    model: TextStates, sae: Sae, texts: list[str], name: str
) -> tuple[Array, Float32, Array]:
    _ready(model)
    features, values = [np.empty((0, sae.k), np.int32)], [np.empty((0, sae.k), np.float32)]
    counts: list[int] = []
    for start in range(0, len(texts), _BATCH_REVIEWS):
        batch = model.states(texts[start : start + _BATCH_REVIEWS], _BATCH_REVIEWS)
        counts += map(len, batch)
        if filled := [states for states in batch if len(states)]:
            listed, active = encode(sae, np.concatenate(filled))
            features.append(listed)
            values.append(active)
        advance(name, len(batch))
    return np.concatenate(features), np.concatenate(values), np.array(counts, np.int64)
