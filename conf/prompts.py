"""Prompt features: what decides them."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, field_validator

from conf.keys import Frozen, Recipe
from conf.models import ModelSpec


class PromptSet(Frozen):
    """A vocabulary said in one or more templates, such as "a photo of {}"."""

    templates: tuple[str, ...] = Field(min_length=1)
    """Each holds one {}; several make an ensemble."""
    vocabulary: tuple[str, ...] = Field(min_length=1)
    """The labels or concepts that fill the {}."""

    @field_validator("templates", "vocabulary")
    @classmethod
    def _have_no_nul(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        # The hash of all texts tells them apart by the NULs between them.
        for text in texts:
            if "\0" in text:
                raise ValueError(f"{text!r} holds a NUL character; take it out")
        return texts

    @field_validator("templates")
    @classmethod
    def _have_one_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(
                    f"the template {template!r} has {template.count('{}')} places for a word; "
                    'write exactly one {}, as in "a photo of {}"'
                )
        return templates

    @field_validator("vocabulary")
    @classmethod
    def _name_each_once(cls, vocabulary: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted(word for word, count in Counter(vocabulary).items() if count > 1)
        if twice:
            raise ValueError(f"the vocabulary names {', '.join(map(repr, twice))} more than once")
        if not all(word.strip() for word in vocabulary):
            raise ValueError("the vocabulary has an empty word: a prompt would say nothing")
        return vocabulary

    def texts(self, words: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the prompts of `words`, by default of all, those of the first word first."""
        chosen = self.vocabulary if words is None else words
        return tuple(t.replace("{}", word) for word in chosen for t in self.templates)


class PromptRecipe(Recipe):
    """Unit text features of a prompt set, one a word: unit norm, mean over templates, unit norm
    again."""

    kind: ClassVar[str] = "prompt-features"

    model: ModelSpec
    prompts: PromptSet


class Preset(Frozen):
    """The settings of flow `prompts`: encode prompt sets, one artifact per template id."""

    model: ModelSpec
    prompts: dict[str, PromptSet] = Field(min_length=1)
    """Template id, such as "label_prompts_t01", to its templates and vocabulary."""

    @field_validator("prompts")
    @classmethod
    def _have_names(cls, prompts: dict[str, PromptSet]) -> dict[str, PromptSet]:
        for name in prompts:
            if not name or name[0] == "." or "/" in name or not name.isprintable():
                raise ValueError(
                    f"{name!r} cannot name a prompt set: its artifact is named by it. Write one "
                    'word without "/" that starts with no dot, such as "label_prompts_t01"'
                )
        return prompts
