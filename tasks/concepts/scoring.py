"""The scoring contract of a concept store: what decides a score beside the features."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from conf.concepts import ScoreRecipe
from conf.errors import RecipeError
from storage.concepts import ConceptFile, ConceptScores
from storage.concepts.file import TEXT_TOKENS, Array
from storage.concepts.scores import GROUPS
from storage.concepts.templates import TemplateFeatures, fetch_template_features
from tasks.compute.concepts import activate, mean_of_best, patch_cosines, word_vectors
from tasks.compute.norms import unit_rows
from tasks.progress import advance

_BLOCK_ROWS = 16  # of patch tokens: 27 MB for the largest models


class Scorer:
    """Scores images of a concept store by one contract."""

    def __init__(self, store: ConceptFile, recipe: ScoreRecipe) -> None:
        self.store, self.recipe = store, recipe
        if recipe.token_rule != "none":
            require_token_space(store)

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of each group that the store has templates of."""
        return {group: next(iter(t.values())).names for group, t in self._templates.items()}

    @cached_property
    def _templates(self) -> dict[str, dict[str, TemplateFeatures]]:
        present = [g for g in GROUPS if self.store.template_names(f"{g}_prompts")]
        return {group: self.store.templates(f"{group}_prompts") for group in present}

    @cached_property
    def contract(self) -> dict[str, Any]:
        """What decides the scores; stored with them."""
        said = self.store.attributes
        return {
            "logit_scale": said["logit_scale"],
            "logit_bias": said.get("logit_bias"),
            "activation": said["activation"],
            "templates": {
                group: {name: list(said.get(f"prompt_temp_for_{group}s", []))[i]
                        for i, name in enumerate(templates)}
                for group, templates in self._templates.items()
            },
            "ensemble": self.recipe.ensemble,
            "token_rule": self.recipe.token_rule,
            "top_tokens": self.recipe.top_tokens if self.recipe.token_rule == "top" else None,
            "concept_logit_scale": said.get("concept_logit_scale"),
            "concept_logit_bias": said.get("concept_logit_bias"),
            "token_space": said.get("token_space"),
            "concept_vector": self._vector_rule,
        }  # fmt: skip

    @property
    def _vector_rule(self) -> str | None:
        if self.recipe.token_rule == "none":
            return None
        if not has_text_tokens(self.store):
            return "pooled text feature"
        last = self.recipe.token_rule == "all"
        return "last text token" if last else "mean of the text tokens of the word"

    def scores(self, contents: Sequence[str]) -> dict[str, Array]:
        """Return the arrays that storage/concepts/scores.py keeps of `contents`."""
        place = {content: row for row, content in enumerate(self.store.contents)}
        rows = [place[content] for content in contents]
        images = unit_rows(self.store.features(rows).astype(np.float32))
        local = self._local(rows) if self.recipe.token_rule != "none" else {}
        found: dict[str, Array] = {}
        for group, templates in self._templates.items():
            cosines = images @ ensemble_vectors(templates).T
            found[f"{group}_cosines"] = cosines
            found[f"{group}_scores"] = self._joined(group, cosines, local.get(group))
            if group in local:
                found[f"{group}_local_logits"] = local[group]
        return found

    def _joined(self, group: str, cosines: Array, local: Array | None) -> Array:
        contract = self.contract
        logits = contract["logit_scale"] * cosines + (contract["logit_bias"] or 0.0)
        pooled = activate(logits.astype(np.float32), contract["activation"])
        if local is None or (self.recipe.token_rule == "all" and group == "label"):
            return pooled
        patches = activate(local, contract["activation"])
        return patches if self.recipe.token_rule == "all" else (pooled + patches) / 2

    def _local(self, rows: Sequence[int]) -> dict[str, Array]:
        """Return (n, names) per group: scaled cosines, mean over the patches that count."""
        best = self.recipe.top_tokens if self.recipe.token_rule == "top" else None
        vectors = {
            group: local_vectors(self.store, f"{group}_prompts", last=best is None)
            for group in self._templates
        }
        scale, bias = _local_logits(self.contract)
        projection = token_projection(self.store)
        out = {g: np.empty((len(rows), len(v)), np.float32) for g, v in vectors.items()}
        for start in range(0, len(rows), _BLOCK_ROWS):
            chosen = rows[start : start + _BLOCK_ROWS]
            for row, tokens in enumerate(self.store.tokens(chosen), start):
                for group, names in vectors.items():
                    cosines = patch_cosines(tokens.astype(np.float32), names, projection)
                    out[group][row] = mean_of_best(np.float32(scale) * cosines, best) + bias
            advance(str(self.store.name), len(chosen))
        return out


def _local_logits(contract: dict[str, Any]) -> tuple[float, np.float32]:
    """Return scale and bias of patches: the model's own for concepts, else those of pooled
    features."""
    own = contract["concept_logit_scale"] is not None
    prefix = "concept_logit" if own else "logit"
    return contract[f"{prefix}_scale"], np.float32(contract[f"{prefix}_bias"] or 0.0)


def ensemble_vectors(templates: dict[str, TemplateFeatures]) -> Array:
    """Return (names, D): unit norm, mean over templates, unit norm again."""
    units = [unit_rows(one.features.astype(np.float32)) for one in templates.values()]
    return unit_rows(np.stack(units).mean(axis=0))


def local_vectors(
    store: ConceptFile, prefix: str, *, last: bool = False, names: Sequence[str] | None = None
) -> Array:
    """Return (names, D) unit vectors that patches are compared with, by default of all names.

    Where the model projects text tokens: the mean over the tokens of the name in each text (or its
    `last` token), joined over templates as above; else the pooled text features.
    """
    if not has_text_tokens(store):
        return ensemble_vectors(store.templates(prefix, concept_list=names))
    found = fetch_template_features(store.path, prefix, concept_list=names, features="tokens")
    vectors = []
    for template in found.values():
        spans = template.spans
        if last or spans is None:
            count = template.features.shape[1]
            spans = np.tile([count - 1 if last else 0, count], (len(template.texts), 1))
        vectors.append(word_vectors(template.features, spans.astype(np.int64)))
    return unit_rows(np.stack(vectors).mean(axis=0))


def require_token_space(store: ConceptFile) -> None:
    """Raise RecipeError unless the patches of `store` can be compared with texts."""
    said = store.attributes
    if not said.get("T_img"):
        raise RecipeError(
            f"{store.name} has no patch tokens. Make it with tokens = true, by a model "
            "that has them."
        )
    if said.get("token_space", "none") == "none":
        raise RecipeError(
            f"The patch tokens of {store.name} are not in the space of texts: its model "
            "pools them by attention and has no projection. ConceptCLIP has one, and so have "
            "open_clip's own vision transformers, such as ViT-L-14."
        )


def has_text_tokens(store: ConceptFile) -> bool:
    """Whether the templates of `store` have text tokens."""
    with h5py.File(store.path, "r") as file:
        return any(TEXT_TOKENS in group for group in file["templates"].values())


def token_projection(store: ConceptFile) -> Array | None:
    """Return the matrix (D', D) that puts patch tokens into the space of texts, or None."""
    with h5py.File(store.path, "r") as file:
        return file["token_projection"][:] if "token_projection" in file else None


def probe_inputs(
    store: ConceptFile, scores: ConceptScores, contents: Sequence[str] | None = None
) -> Array:
    """Return (n, concepts) float32: concept scores before the activation, by default of all rows.

    After a softmax concepts compete, and all but the winner are near 0: less is left to learn from.
    """
    local = scores.contract["token_rule"] != "none"
    name = "concept_local_logits" if local else "concept_cosines"
    return scores.read(name, store.contents if contents is None else contents)
