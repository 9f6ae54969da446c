"""Prompts of a concept store: by template, by prefix, by concept."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import h5py
import numpy as np

from conf.concepts import CONCEPTS, LABELS
from conf.errors import RecipeError, did_you_mean
from storage.concepts.file import (
    TEMPLATES,
    TEXT_POOLED,
    TEXT_SPANS,
    TEXT_TOKENS,
    TEXTS,
    Array,
    PathOrFile,
    json_list,
    reading,
    texts_of,
)

FeatureType = Literal["pooled", "tokens"]
_GROUPS = {"concept": CONCEPTS, "label": LABELS}


class UnmatchedConcept(UserWarning):
    """A concept was asked for that the store does not have; it was left out."""


@dataclass(frozen=True, eq=False)
class TemplateFeatures:
    """Prompts said in one template."""

    template_id: str
    names: tuple[str, ...]
    """The concept or label of each prompt; the prompt itself where no vocabulary tells."""
    texts: tuple[str, ...]
    features: Array
    """(K, D) float32, unit norm; or (K, T_txt, D) float32 when tokens were asked for."""
    spans: Array | None = None
    """(K, 2): first text token of the name and the one behind its last, with tokens only."""


def fetch_template_features(
    store: PathOrFile,
    template: str | None = None,
    *,
    concept_list: Sequence[str] | None = None,
    features: FeatureType = "pooled",
) -> dict[str, TemplateFeatures]:
    """Return template ids and their prompts' features.

    `template` is an id, a prefix such as "concept_prompts", or "concept" or "label"; None takes
    all. `concept_list` keeps the prompts of these names only, in this order; a name that is
    nowhere is left out with the warning UnmatchedConcept. Raises RecipeError when no template
    matches, when none of the names does, or when tokens are asked for and not there.
    """
    with reading(store) as file:
        chosen = _chosen(file, template)
        found = {name: _read(file, name, features, concept_list) for name in chosen}
    _tell_unmatched(found, concept_list or ())
    return found


def _chosen(file: h5py.File, template: str | None) -> list[str]:
    names = sorted(file[TEMPLATES])
    if template in names:
        return [str(template)]
    prefix = _GROUPS.get(template or "", template or "")
    chosen = [name for name in names if name.startswith(prefix)]
    if not chosen:
        raise RecipeError(
            f"{file.filename} has no template {template!r}. {did_you_mean(template or '', names)} "
            "`featuremill concepts templates` lists them."
        )
    return chosen


def _read(
    file: h5py.File, template_id: str, wanted: FeatureType, concepts: Sequence[str] | None
) -> TemplateFeatures:
    group = file[TEMPLATES][template_id]
    if wanted == "tokens" and TEXT_TOKENS not in group:
        raise RecipeError(
            f"{template_id} of {file.filename} has no text tokens: the model projects none. "
            'Ask for features "pooled".'
        )
    texts = texts_of(group[TEXTS])
    names = names_of(file, template_id, texts)
    rows = _rows(names, texts, concepts)
    dataset = group[TEXT_TOKENS if wanted == "tokens" else TEXT_POOLED]
    read = dataset[:] if concepts is None else _some(dataset, rows)
    spans = group[TEXT_SPANS][:][rows] if wanted == "tokens" and TEXT_SPANS in group else None
    chosen = [tuple(words[row] for row in rows) for words in (names, texts)]
    return TemplateFeatures(template_id, chosen[0], chosen[1], read, spans)


def _some(dataset: h5py.Dataset, rows: Sequence[int]) -> Array:
    empty = np.empty((0, *dataset.shape[1:]), dataset.dtype)
    return np.stack([dataset[row] for row in rows]) if len(rows) else empty


def names_of(file: h5py.File, template_id: str, texts: Sequence[str]) -> list[str]:
    """Return the concept or label of each text: from the vocabulary that the root lists, where
    text i has word i in it; else the text itself."""
    kind = "label" if template_id.startswith("label") else "concept"
    words = json_list(file, f"{kind}_texts")
    if len(words) == len(texts) and all(w in t for w, t in zip(words, texts, strict=True)):
        return words
    return list(texts)


def _rows(names: Sequence[str], texts: Sequence[str], concepts: Sequence[str] | None) -> list[int]:
    if concepts is None:
        return list(range(len(names)))
    place = {text: row for row, text in enumerate(texts)} | {
        name: row for row, name in enumerate(names)
    }
    return [place[concept] for concept in concepts if concept in place]


def _tell_unmatched(found: dict[str, TemplateFeatures], concepts: Sequence[str]) -> None:
    matched = {word for one in found.values() for word in (*one.names, *one.texts)}
    unmatched = [concept for concept in concepts if concept not in matched]
    if not unmatched:
        return
    told = f"not in the store, left out: {', '.join(map(repr, unmatched))}"
    if len(unmatched) == len(concepts):
        raise RecipeError(
            f"None of the concepts that were asked for is there ({told}). "
            "The root attributes concept_texts and label_texts list the names."
        )
    warnings.warn(told, UnmatchedConcept, stacklevel=3)
