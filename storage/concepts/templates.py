"""Prompts of a concept store: read by template, by prefix, by concept, and written."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import h5py
import numpy as np

from conf.concepts import CONCEPTS, LABELS, is_template_id
from conf.errors import RecipeError, did_you_mean
from storage.concepts.file import (
    LOGITS,
    POOLED,
    TEMPLATES,
    TEXT,
    TEXT_POOLED,
    TEXT_SPANS,
    TEXT_TOKENS,
    TEXTS,
    Array,
    PathOrFile,
    changing,
    json_list,
    now,
    reading,
    texts_hash,
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


def write_template(
    f: h5py.File,
    *,
    template_id: str,
    texts: Sequence[str],
    text_features: Array,
    text_token_features: Array | None = None,
    token_spans: Array | None = None,
    logits: Mapping[str, float | None] | None = None,
) -> None:
    """Write the prompts of one template into the open store `f`, over those of the same id.

    `text_features` is (K, D), `text_token_features` (K, T_txt, D) or None, `token_spans` (K, 2):
    where in its tokens each text names its concept. The model's logit parameters that the group or
    the root has are kept; `logits` sets them.
    """
    with changing(f) as file:
        _refuse_template(file, template_id, texts, text_features, text_token_features)
        templates = file[TEMPLATES]
        kept = _logits_of(templates[template_id]) if template_id in templates else {}
        given = {name: value for name, value in (logits or {}).items() if value is not None}
        # Without a name until it is whole: what HDF5 refuses costs the old prompts nothing.
        group = h5py.Group(h5py.h5g.create(templates.id, None))
        fill_template(group, texts, text_features, text_token_features, token_spans)
        group.attrs.update(_logits_of(file) | kept | given)
        if template_id in templates:
            del templates[template_id]
        templates[template_id] = group
        file.flush()


def fill_template(
    group: h5py.Group,
    texts: Sequence[str],
    features: Array,
    tokens: Array | None,
    spans: Array | None,
) -> None:
    """Write the datasets and attributes of a template group."""
    if tokens is not None and spans is not None:
        group.create_dataset(TEXT_SPANS, data=np.asarray(spans, np.int64))
    group.create_dataset(TEXT_POOLED, data=np.asarray(features, np.float32))
    if tokens is not None:
        group.create_dataset(TEXT_TOKENS, data=np.asarray(tokens, np.float32))
    group.create_dataset(TEXTS, data=list(texts), dtype=TEXT)
    group.attrs["K"], group.attrs["D"] = np.shape(features)
    group.attrs["T_txt"] = -1 if tokens is None else int(np.shape(tokens)[1])
    group.attrs["texts_hash"] = texts_hash(texts)
    group.attrs["created_at"] = now()


def _logits_of(node: h5py.Group) -> dict[str, float]:
    return {name: float(node.attrs[name]) for name in LOGITS if name in node.attrs}


def _refuse_template(
    file: h5py.File, template_id: str, texts: Sequence[str], features: Array, tokens: Array | None
) -> None:
    if not is_template_id(template_id):
        raise RecipeError(
            f"{template_id!r} names no template: use letters, digits, '_', '-' and '.', such as "
            "concept_prompts_t01."
        )
    if not len(texts):
        raise RecipeError(f"{template_id} has no texts: a vocabulary of at least one word is due.")
    dim = int(file[POOLED].shape[1])
    if np.shape(features) != (len(texts), dim):
        raise RecipeError(
            f"{template_id}: text_features are {np.shape(features)}; {len(texts)} texts in this "
            f"store need {(len(texts), dim)}. Nothing was changed."
        )
    if any("\0" in text for text in texts):
        raise RecipeError(f"{template_id} has a text with a NUL character, which HDF5 cannot hold.")
    if tokens is not None and (np.shape(tokens)[::2] != (len(texts), dim) or np.ndim(tokens) != 3):
        raise RecipeError(
            f"{template_id}: text_token_features are {np.shape(tokens)}; {len(texts)} texts need "
            f"({len(texts)}, T_txt, {dim}). Nothing was changed."
        )


def clear_all_templates(f: h5py.File) -> list[str]:
    """Remove every template of the open store `f`, and return their ids.

    Do this before prompts with another vocabulary are written, or old ids would stay beside them.
    """
    with changing(f) as file:
        names = sorted(file[TEMPLATES])
        for name in names:
            del file[TEMPLATES][name]
        file.flush()
    return names
