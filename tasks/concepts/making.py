"""The tasks of a run: texts for patches, the store, its scores, and a probe on them."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from conf.concepts import ConceptRecipe, ConceptTextRecipe, ProbeRecipe, ScoreRecipe
from conf.errors import RecipeError, WorldError
from conf.keys import ArtifactKey
from conf.prompts import PromptSet
from conf.runtime import Runtime
from storage.concepts import ConceptScores, ConceptStore, Probe
from storage.concepts.probe import write_probe
from storage.concepts.scores import write_scores
from storage.concepts.texts import ConceptTexts, open_texts, write_texts
from storage.concepts.view import (
    INDEX,
    Template,
    inputs_of,
    link_tokens,
    ok_rows,
    root_attributes,
    write_index,
)
from storage.dataset import Ledger, read_ledger
from storage.encoders import logits_of, text_tokens, token_space
from storage.images import ImageFeatures, fingerprints
from storage.parts import PartWriter
from storage.prompts import PROMPTS, Prompts, open_prompts
from storage.store import Artifact, ArtifactStore
from tasks.compute.concepts import fit_probe
from tasks.concepts.scoring import Scorer, probe_inputs
from tasks.declaring import part_task
from tasks.models.load import enter_lane, load_encoder
from tasks.stopping import check_not_stopped


class ModelsDiffer(WorldError):
    """Images and prompts were encoded by different weights, though one recipe names them."""


@part_task
def encode_concept_texts(recipe: ConceptTextRecipe, *, part: str, runtime: Runtime) -> int:
    """Seal the text side of the templates of `part`, and return how many those are."""
    check_not_stopped()
    draft = ArtifactStore(runtime.store).open_draft(recipe.key())
    encoder = load_encoder(recipe.model, runtime)
    enter_lane(encoder.device)
    space, logits = token_space(encoder), logits_of(encoder)
    with draft.write_part(part) as writer:
        for template_id in draft.rows_of(part):
            prompts = recipe.prompts[template_id]
            tokens = text_tokens(encoder, prompts.texts(), prompts.vocabulary)
            texts = ConceptTexts(
                template_id,
                space.name,
                encoder.fingerprint,
                space.grid,
                tokens=tokens.tokens if tokens else None,
                spans=tokens.spans if tokens else None,
                projection=space.projection,
                logit_scale=logits.get("concept_logit_scale"),
                logit_bias=logits.get("concept_logit_bias"),
            )
            write_texts(writer, texts)
    return len(draft.rows_of(part))


@part_task
def store_concepts(
    recipe: ConceptRecipe,
    dataset: Artifact,
    images: Artifact,
    prompts: Mapping[str, Artifact],
    texts: Artifact | None,
    *,
    part: str,
    runtime: Runtime,
) -> int:
    """Seal one part of a concept store: the index, or links to the tokens of image parts.

    Raises ModelsDiffer when the weights that encoded images and prompts are not the same.
    """
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    keys = {name: store.key_of(artifact) for name, artifact in prompts.items()}
    text_key = store.key_of(texts) if texts else None
    inputs = inputs_of(store.key_of(dataset), store.key_of(images), keys, text_key)
    draft = store.open_draft(recipe.key(**inputs))
    with draft.write_part(part) as writer:
        for row in draft.rows_of(part):
            if row == INDEX:
                _write_index(writer, recipe, store, dataset, images, prompts, texts)
            else:
                link_tokens(writer, store, images, row)
    return len(draft.rows_of(part))


def _write_index(
    writer: PartWriter,
    recipe: ConceptRecipe,
    store: ArtifactStore,
    dataset: Artifact,
    images: Artifact,
    prompts: Mapping[str, Artifact],
    texts: Artifact | None,
) -> None:
    reader, ledger = ImageFeatures(store, images), read_ledger(store.path_of(dataset))
    sides = open_texts(store, texts) if texts else {}
    said = {name: open_prompts(store, artifact) for name, artifact in prompts.items()}
    fingerprint = _one_fingerprint(store, reader, prompts, sides)
    first = next(iter(said.values()))
    side = next(iter(sides.values()), None)
    templates = {name: _template(one, sides.get(name)) for name, one in said.items()}
    tokens = _token_count(reader, ledger) if texts else 0
    model = _logits(first, side) | {
        "version": recipe.file_version,
        "activation": first.scoring.activation,
        "model_fingerprint": fingerprint,
        "token_space": side.token_space if side else None,
        "token_grid": side.grid if side else None,
    }
    root = root_attributes(
        dim=first.text_features.shape[1],
        tokens=tokens,
        ledger=ledger,
        vocabularies=_vocabularies(recipe),
        more={**recipe.metadata, **model},
    )
    write_index(
        writer, ledger, reader, templates, root,
        tokens=texts is not None, projection=side.projection if side else None,
    )  # fmt: skip


def _vocabularies(recipe: ConceptRecipe) -> dict[str, tuple[str, ...]]:
    named = {"concepts": recipe.concepts, "labels": recipe.labels}
    given: dict[str, PromptSet] = {name: said for name, said in named.items() if said}
    texts = {f"{name.removesuffix('s')}_texts": said.vocabulary for name, said in given.items()}
    return texts | {f"prompt_temp_for_{name}": said.templates for name, said in given.items()}


def _token_count(images: ImageFeatures, ledger: Ledger) -> int:
    rows = ok_rows(ledger)
    return int(images.tokens([str(ledger.sha256[rows[0]])]).shape[1]) if rows else 0


def _template(prompts: Prompts, side: ConceptTexts | None) -> Template:
    return Template(
        prompts.texts,
        prompts.text_features,
        side.tokens if side else None,
        side.spans if side else None,
        {name: value for name, value in _logits(prompts, side).items() if value is not None},
    )


def _logits(prompts: Prompts, side: ConceptTexts | None) -> dict[str, Any]:
    return {
        "logit_scale": prompts.scoring.logit_scale,
        "logit_bias": prompts.scoring.logit_bias,
        "concept_logit_scale": side.logit_scale if side else None,
        "concept_logit_bias": side.logit_bias if side else None,
    }


def _one_fingerprint(
    store: ArtifactStore,
    images: ImageFeatures,
    prompts: Mapping[str, Artifact],
    sides: Mapping[str, ConceptTexts],
) -> str:
    found = fingerprints(images.path / "parts", images.markers)
    for artifact in prompts.values():
        for path in store.path_of(artifact).glob(f"parts/*/{PROMPTS}"):
            with h5py.File(path, "r") as file:
                found.add(str(file.attrs["model_fingerprint"]))
    found |= {side.fingerprint for side in sides.values()}
    if len(found) != 1:
        names = ", ".join(sorted(name[:12] for name in found))
        raise ModelsDiffer(
            f"Images and prompts were encoded by {len(found)} different models (fingerprints "
            f"{names}), though one recipe names them: they do not compare. `featuremill verify` "
            "and then a new run remake what changed."
        )
    return found.pop()


@part_task
def score_images(recipe: ScoreRecipe, concepts: Artifact, *, part: str, runtime: Runtime) -> int:
    """Seal the scores of the images of `part`, and return how many images those are."""
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    draft = store.open_draft(recipe.key(concepts=store.key_of(concepts)))
    wanted = draft.rows_of(part)
    scorer = Scorer(ConceptStore(store, concepts), recipe)
    with draft.write_part(part) as writer:
        write_scores(writer, wanted, scorer.names, scorer.scores(wanted), scorer.contract)
    return len(wanted)


@part_task
def make_probe(
    recipe: ProbeRecipe, concepts: Artifact, scores: Artifact, *, part: str, runtime: Runtime
) -> int:
    """Seal a linear probe of the labels, and return how many images it learnt from.

    Raises RecipeError when there are too few labelled images.
    """
    check_not_stopped()
    store = ArtifactStore(runtime.store)
    inputs: dict[str, ArtifactKey] = {
        "concepts": store.key_of(concepts),
        "scores": store.key_of(scores),
    }
    draft = store.open_draft(recipe.key(**inputs))
    reader, scored = ConceptStore(store, concepts), ConceptScores(store, scores)
    probe = _probe(recipe, reader, scored)
    with draft.write_part(part) as writer:
        write_probe(writer, probe)
    return probe.rows[recipe.train_split]


def _probe(recipe: ProbeRecipe, reader: ConceptStore, scores: ConceptScores) -> Probe:
    labels, splits = reader.column("labels"), reader.column("split")
    given = probe_inputs(reader, scores)
    rows = {str(split): np.flatnonzero((splits == split) & (labels >= 0)) for split in set(splits)}
    learnt = rows.get(recipe.train_split, np.empty(0, np.int64))
    try:
        fitted = fit_probe(
            given[learnt],
            labels[learnt],
            folds=recipe.folds,
            penalties=recipe.penalties,
            seed=recipe.seed,
        )
    except ValueError as problem:
        raise RecipeError(
            f"No probe can be fitted on split {recipe.train_split!r}: {problem}."
        ) from problem
    logits = (given - fitted.center) / fitted.spread @ fitted.weights.T + fitted.intercept
    named = fitted.classes[logits.argmax(axis=1)]
    words = reader.attributes.get("label_texts", [])
    counts = np.unique(labels[learnt], return_counts=True)[1]
    facts = {name: value for name, value in fitted._asdict().items() if name != "classes"}
    return Probe(
        concepts=scores.names("concept"),
        classes=fitted.classes,
        class_names=tuple(
            words[label] if label < len(words) else str(label) for label in fitted.classes
        ),
        accuracy={
            split: float((named[at] == labels[at]).mean())
            for split, at in sorted(rows.items())
            if len(at)
        },
        rows={split: len(at) for split, at in sorted(rows.items()) if len(at)},
        chance=float(counts.max() / counts.sum()),
        **facts,
    )
