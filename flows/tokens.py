"""Tokens: sparse autoencoder activations, made of texts or taken from files, and indexed."""

from pathlib import Path

from conf.errors import RecipeError
from conf.load import load_preset
from conf.runtime import Runtime
from conf.tokens import (
    SEGMENT_TOKENS,
    ActivationsRecipe,
    FilesSource,
    IndexRecipe,
    PostingsRecipe,
    Preset,
    ReviewsRecipe,
    SaeRecipe,
    TextModel,
    TextsRecipe,
    TextsSource,
    Values,
)
from flows.run import Run, Table, run_name
from storage.drafts import Making
from storage.hashes import Hashes
from storage.store import Artifact
from storage.tokens import TokenIndex
from storage.tokens.errors import BadActivations
from storage.tokens.made import files_of
from storage.tokens.postings import segment_names
from storage.tokens.sae import open_sae, read_sae, read_settings, weights_file
from storage.tokens.source import open_activations
from storage.tokens.texts import open_texts
from tasks.declaring import flow
from tasks.models.text_models import weights_of
from tasks.tokens import index_part, join_index, keep_reviews
from tasks.tokens.making import activate_part, keep_texts, train_autoencoder
from tasks.tokens.report import star_rows
from tasks.tokens.tokenizers import tokenizer_file


@flow(name="tokens", flow_run_name=run_name("tokens"))
def token_index(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Index activations: of files, or made here of texts."""
    run = Run("tokens", runtime or Runtime())
    make_tokens(run, preset)
    return run.close()


def make_tokens(run: Run, preset: Preset, prefix: str = "") -> Artifact:
    """Return the index of what `preset` names, all it takes made where it is missing."""
    if preset.files:
        files, n_features, tokenizer = preset.files, preset.known_features(), preset.tokenizer
    else:
        files, n_features, tokenizer = make_activations(run, preset, prefix)
    return make_index(run, files, n_features, preset.values, tokenizer, prefix)


def make_index(
    run: Run,
    files: FilesSource,
    n_features: int,
    values: Values,
    tokenizer: str | None,
    prefix: str = "",
) -> Artifact:
    """Return the index over the activations in `files`, with its reviews, made where missing.

    Reviews are published with the postings: of a file whose entries are refused, nothing is.
    """
    with open_activations(files.activations) as source:
        rows = segment_names(source.n_tokens, SEGMENT_TOKENS)
        row_bytes = SEGMENT_TOKENS * source.k * (4 if values == "f16" else 6)
    activations, metadata = _sha256(run, files.activations), _sha256(run, files.metadata)
    checked = _sha256(run, tokenizer_file(tokenizer, run.runtime.models)) if tokenizer else None
    kept = ReviewsRecipe(
        activations_sha256=activations, metadata_sha256=metadata, tokenizer_sha256=checked
    )
    one = Making(kept, {}, ("reviews",))
    name = f"{prefix}reviews"
    recipe = PostingsRecipe(activations_sha256=activations, n_features=n_features, values=values)
    making = Making(recipe, {}, rows, row_bytes=row_bytes)
    path = files.activations
    with run.making(name, one, keep_reviews, files=files, tokenizer=tokenizer) as reviews:
        postings = run.make(f"{prefix}postings", making, index_part, activations=path)
    inputs = {"postings": run.store.key_of(postings), "reviews": run.store.key_of(reviews)}
    joined = Making(IndexRecipe(), inputs, ("index",))
    told = {"tokenizer": tokenizer}
    return run.make(f"{prefix}index", joined, join_index, postings, reviews, made=told)


def make_activations(run: Run, preset: Preset, prefix: str) -> tuple[FilesSource, int, str]:
    """Return activation files made of texts, how many features they have, and the tokenizer."""
    texts = _make_texts(run, preset.texts, prefix)
    model, tokenizer = _resolve(run, preset.model)
    inputs, settings = {"texts": run.store.key_of(texts)}, dict[str, bool]()
    if preset.sae.path is None:
        sae = _make_sae(run, preset, model, texts, prefix)
        weights, given = open_sae(run.store, sae), [texts, sae]
        inputs["sae"], found = run.store.key_of(sae), None
    else:
        weights, given = read_sae(preset.sae.path), [texts]
        found = _sha256(run, weights_file(preset.sae.path))
        settings = read_settings(preset.sae.path)
    recipe = ActivationsRecipe(model=model, sae_sha256=found, sae_settings=settings, k=weights.k)
    rows = open_texts(run.store, texts)["review_ids"].tolist()
    making = Making(recipe, inputs, rows)
    name, path = f"{prefix}activations", preset.sae.path
    made = run.make(name, making, activate_part, *given, sae_path=path)
    activations, metadata = files_of(run.store, made)
    files = FilesSource(activations=activations, metadata=metadata)
    return files, weights.n_features, tokenizer


def _make_texts(run: Run, source: TextsSource, prefix: str) -> Artifact:
    if source.path is None:
        recipe = TextsRecipe(grammar=source.grammar, limit=source.limit)
    else:
        found = _sha256(run, source.path)
        recipe = TextsRecipe(file_sha256=found, columns=source.columns, limit=source.limit)
    making = Making(recipe, {}, ("texts",))
    return run.make(f"{prefix}texts", making, keep_texts, path=source.path)


def _make_sae(run: Run, preset: Preset, model: TextModel, texts: Artifact, prefix: str) -> Artifact:
    wanted = preset.sae.model_dump(exclude={"path"})
    making = Making(SaeRecipe(model=model, **wanted), {"texts": run.store.key_of(texts)}, ("sae",))
    return run.make(f"{prefix}sae", making, train_autoencoder, texts)


def _resolve(run: Run, model: TextModel) -> tuple[TextModel, str]:
    """Return `model` with its weights, tokenizer and library named, and the tokenizer's name."""
    path, name, library = weights_of(model, run.runtime)
    found = {
        "sha256": _sha256(run, path),
        "tokenizer_sha256": _sha256(run, tokenizer_file(name, run.runtime.models)),
        "library": library,
    }
    for field, value in found.items():
        if getattr(model, field) not in (None, value):
            raise RecipeError(
                f"model.{field} is {getattr(model, field)}, but {path.parent} has {value}. Take "
                "that one, or leave the field out."
            )
    return model.model_copy(update=found), name


def _sha256(run: Run, path: Path) -> str:
    if not path.is_file():
        raise BadActivations(f"There is no file {path}.")
    with Hashes(run.runtime.store / "hashes.sqlite") as hashes:
        return hashes.sha256_of_file(path)


def demo_step(run: Run) -> None:
    """Write reviews, train an autoencoder on them, index it, and show what goes with 5 stars."""
    preset = Preset.model_validate(load_preset("written_reviews").settings)
    index = make_tokens(run, preset, "token-")
    title = "Features most tied to 5 stars, and where they are strongest"
    run.show(lambda: Table(title, *star_rows(TokenIndex(run.store, index), run.runtime)))


FLOW = token_index
