"""The concept store: image features, prompts and labels of one dataset, and what is made of it."""

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from conf.dataset import AnySource
from conf.keys import Frozen, Recipe
from conf.models import ModelSpec
from conf.prompts import PromptSet

CONCEPTS, LABELS = "concept_prompts_t", "label_prompts_t"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
OWN_ATTRIBUTES = frozenset(
    {
        "D", "T_img", "created_at", "version", "split_counts", "logit_scale", "logit_bias",
        "concept_logit_scale", "concept_logit_bias", "label_texts", "prompt_temp_for_labels",
        "concept_texts", "prompt_temp_for_concepts", "activation", "model_fingerprint",
        "token_space", "token_grid", "artifact",
    }
)  # fmt: skip
"""Root attributes that the store itself writes; `metadata` may not name them."""

TokenRule = Literal["none", "top", "all"]


class ConceptRecipe(Recipe):
    """The file `conceptclip_features.h5`, of the inputs `dataset`, `images` and one prompt artifact
    a template id; for stores with tokens also `texts`."""

    kind: ClassVar[str] = "concept-store"

    concepts: PromptSet
    """Concept vocabulary and templates: template i is `concept_prompts_t{i:02}`."""
    labels: PromptSet | None = None
    """Label vocabulary and templates: template i is `label_prompts_t{i:02}`."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Further root attributes, such as dataset = "BloodMNIST"."""
    file_version: str = "1.0"
    """Root attribute `version`."""


class ConceptTextRecipe(Recipe):
    """What local scores and heatmaps need of the text side: token features of every prompt (where
    the model has them) and how patch tokens get into the space of texts."""

    kind: ClassVar[str] = "concept-texts"

    model: ModelSpec
    prompts: dict[str, PromptSet]
    """Template id to its one template and its vocabulary."""


class ScoreRecipe(Recipe):
    """How well every concept and label fits every image, of the input `concepts`, a concept
    store."""

    kind: ClassVar[str] = "concept-scores"

    ensemble: Literal["unit-mean-unit"] = "unit-mean-unit"
    """How templates are joined: unit norm, mean over templates, unit norm again."""
    token_rule: TokenRule = "none"
    """ "none": pooled features only. "top": half of the score comes from the mean over the
    `top_tokens` patches that fit best, a concept being the mean of the text tokens of its word.
    "all": the mean over all patches, a concept being the last text token."""
    top_tokens: int = Field(default=128, ge=1)


class ProbeRecipe(Recipe):
    """A linear classifier of labels by concept scores, of the inputs `concepts` and `scores`."""

    kind: ClassVar[str] = "concept-probe"

    folds: int = Field(default=5, ge=2)
    """Cross-validation of the penalty, within the training split."""
    penalties: tuple[float, ...] = Field(default=(0.01, 0.1, 1.0, 10.0, 100.0), min_length=1)
    """Inverse strengths of the penalty to choose from."""
    train_split: str = "train"
    seed: int = 0
    """Of the folds."""


class ProbeSettings(Frozen):
    """The linear probe of a preset."""

    folds: int = Field(default=5, ge=2)
    train_split: str = "train"


class Preset(Frozen):
    """The settings of flow `concepts`: a concept store, its scores, and a probe where there are
    labels."""

    source: AnySource
    model: ModelSpec
    concepts: PromptSet
    labels: PromptSet | None = None
    tokens: bool = False
    """Whether patch tokens are kept; needs a model that has them."""
    token_rule: TokenRule = "none"
    top_tokens: int = Field(default=128, ge=1)
    probe: ProbeSettings | None = None
    metadata: dict[str, str] = Field(default_factory=dict)

    @field_validator("metadata")
    @classmethod
    def _leave_our_attributes(cls, metadata: dict[str, str]) -> dict[str, str]:
        taken = sorted(metadata.keys() & OWN_ATTRIBUTES)
        if taken:
            raise ValueError(f"the store itself writes {', '.join(taken)}; name yours otherwise")
        return metadata

    @model_validator(mode="after")
    def _rule_needs_tokens(self) -> "Preset":
        if self.token_rule != "none" and not self.tokens:
            raise ValueError(
                f"token_rule = {self.token_rule!r} scores patches, and tokens = false keeps none; "
                "set tokens = true, by a model that has them"
            )
        return self


def template_sets(concepts: PromptSet, labels: PromptSet | None) -> dict[str, PromptSet]:
    """Return one prompt set a template, by template id: "concept_prompts_t01" and so on."""
    named = ((CONCEPTS, concepts), (LABELS, labels))
    return {
        f"{prefix}{number:02}": PromptSet(templates=(template,), vocabulary=prompts.vocabulary)
        for prefix, prompts in named
        if prompts
        for number, template in enumerate(prompts.templates, 1)
    }


def is_template_id(name: str) -> bool:
    """Whether `name` may name a template: letters, digits, "_", "-" and "."."""
    return _NAME.fullmatch(name) is not None
