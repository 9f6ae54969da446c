import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from conf.models import ModelSpec
from conf.prompts import Preset, PromptRecipe, PromptSet

CONF = Path(__file__).parents[2] / "conf"
MODEL = ModelSpec(family="toy", precision="fp32")


def test_texts_lie_word_by_word() -> None:
    prompts = PromptSet(templates=("a {}", "the {}!"), vocabulary=("cat", "dog"))
    assert prompts.texts() == ("a cat", "the cat!", "a dog", "the dog!")


def test_braces_in_a_word_stay() -> None:
    prompts = PromptSet(templates=("a {}",), vocabulary=("{}", "{0}"))
    assert prompts.texts() == ("a {}", "a {0}")


@pytest.mark.parametrize(("template", "places"), [("a photo", 0), ("{} and {}", 2), ("{0}", 0)])
def test_a_template_has_exactly_one_place(template: str, places: int) -> None:
    with pytest.raises(ValidationError) as caught:
        PromptSet(templates=("a {}", template), vocabulary=("cat",))
    assert (
        f"the template {template!r} has {places} places for a word; "
        'write exactly one {}, as in "a photo of {}"' in str(caught.value)
    )


def test_a_word_is_named_once() -> None:
    with pytest.raises(ValidationError, match="the vocabulary names 'cat', 'dog' more than once"):
        PromptSet(templates=("a {}",), vocabulary=("dog", "cat", "dog", "bird", "cat"))


@pytest.mark.parametrize("word", ["", " ", "\n"])
def test_a_word_says_something(word: str) -> None:
    with pytest.raises(ValidationError, match="the vocabulary has an empty word"):
        PromptSet(templates=("a {}",), vocabulary=("cat", word))


@pytest.mark.parametrize("field", ["templates", "vocabulary"])
def test_neither_list_is_empty(field: str) -> None:
    full: dict[str, tuple[str, ...]] = {"templates": ("a {}",), "vocabulary": ("cat",)}
    with pytest.raises(ValidationError, match="at least 1 item"):
        PromptSet(**full | {field: ()})


def test_order_of_words_and_templates_is_in_the_key() -> None:
    sets = [
        PromptSet(templates=("a {}", "the {}"), vocabulary=("cat", "dog")),
        PromptSet(templates=("the {}", "a {}"), vocabulary=("cat", "dog")),
        PromptSet(templates=("a {}", "the {}"), vocabulary=("dog", "cat")),
    ]
    assert len({PromptRecipe(model=MODEL, prompts=prompts).key() for prompts in sets}) == 3


def test_the_flow_takes_several_sets_by_template_id() -> None:
    content = {
        "model": {"family": "toy", "precision": "fp32"},
        "prompts": {"label_prompts_t01": {"templates": ["a {}"], "vocabulary": ["cat"]}},
    }
    preset = Preset.model_validate_json(json.dumps(content))
    assert preset.prompts["label_prompts_t01"].texts() == ("a cat",)


def test_the_shipped_lists_are_fifty_labels_and_six_templates() -> None:
    labels = json.loads((CONF / "labels.json").read_text())["labels"]
    templates = json.loads((CONF / "templates.json").read_text())["templates"]
    prompts = PromptSet(templates=tuple(templates), vocabulary=tuple(labels))
    assert (len(prompts.vocabulary), len(prompts.templates)) == (50, 6)


@pytest.mark.parametrize("field", ["templates", "vocabulary"])
def test_no_text_holds_a_nul(field: str) -> None:
    full: dict[str, tuple[str, ...]] = {"templates": ("a {}",), "vocabulary": ("cat",)}
    with pytest.raises(ValidationError) as caught:
        PromptSet(**full | {field: ("a \0{}",)})
    assert "'a \\x00{}' holds a NUL character; take it out" in str(caught.value)


def preset_of(*names: str) -> Preset:
    prompts = PromptSet(templates=("a {}",), vocabulary=("cat",))
    return Preset(model=MODEL, prompts=dict.fromkeys(names, prompts))


def test_the_flow_needs_a_set() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        preset_of()


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "/a", "a\nb", "a\0"])
def test_a_template_id_that_is_no_word_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        preset_of("fine", name)
    assert (
        f"{name!r} cannot name a prompt set: its artifact is named by it. Write one word without "
        '"/" that starts with no dot, such as "label_prompts_t01"' in str(caught.value)
    )


@pytest.mark.parametrize("name", ["label_prompts_t01", "t.01", "\u00fcber-t", "with space"])
def test_any_other_word_is_a_template_id(name: str) -> None:
    assert list(preset_of(name).prompts) == [name]
