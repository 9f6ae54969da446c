import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from pydantic import ValidationError

from conf.dataset import DatasetRecipe
from conf.errors import RecipeError
from conf.images import ImageRecipe, Preset
from conf.keys import ArtifactKey, Recipe, canonical_json, sha256_of
from conf.labels import LabelRecipe
from conf.load import load_preset
from conf.models import ModelSpec
from conf.prompts import PromptRecipe, PromptSet
from conf.runtime import Runtime

MODEL = ModelSpec(family="pocket", precision="fp32", sha256="0" * 64, library="pocket==1")
PROMPTS = PromptSet(templates=("a photo of {}",), vocabulary=("cat", "Ünïcode"))
CONTENT = ArtifactKey("content", 1, "0123456789abcdef")

IMAGES = ImageRecipe(model=MODEL)
PINNED = {
    "dataset-v1-c666f80a435e9177": DatasetRecipe(rows_sha256="0" * 64, rows=3).key(),
    "image-features-v1-a7b1a4e83b97a59f": IMAGES.key(content=CONTENT),
    "image-features-v1-c8fe0a583d7d9dd3": ImageRecipe(model=MODEL, tokens=True).key(
        content=CONTENT
    ),
    "prompt-features-v1-7549782536fb506c": PromptRecipe(model=MODEL, prompts=PROMPTS).key(),
    "image-labels-v1-18212b57f24f5210": LabelRecipe().key(images=CONTENT, prompts=CONTENT),
}


class Sample(Recipe):
    kind: ClassVar[str] = "sample"
    row_inputs: ClassVar[frozenset[str]] = frozenset({"rows"})

    size: int = 3
    rate: float = 0.5


def text_of(content: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        canonical_json(content)
    return str(caught.value)


# Literal digests: whoever changes one of these gives every artifact of that kind another name.


@pytest.mark.parametrize(("published", "key"), PINNED.items())
def test_the_key_is_the_one_that_was_published_before(published: str, key: ArtifactKey) -> None:
    assert str(key) == published


def test_canonical_json_is_sorted_tight_and_keeps_letters() -> None:
    content = {"b": (1, 2.0), "a": {"ü": None, "n": True}}
    assert canonical_json(content) == '{"a":{"n":true,"ü":null},"b":[1,2.0]}'


def test_the_hash_is_of_the_utf8_bytes_of_canonical_json() -> None:
    assert sha256_of({"a": 1}) == (
        "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    )


def test_the_order_of_names_plays_no_part() -> None:
    assert sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})


def test_tuples_and_lists_are_the_same() -> None:
    assert sha256_of((1, (2,))) == sha256_of([1, [2]])


@pytest.mark.parametrize("value", [1, 1.0, True, "1"])
def test_values_that_python_finds_equal_or_alike_differ(value: object) -> None:
    others = [other for other in (1, 1.0, True, "1") if type(other) is not type(value)]
    assert sha256_of(value) not in {sha256_of(other) for other in others}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_without_a_text_are_refused(number: float) -> None:
    said = text_of({"a": [1.0, number]})
    assert said == f"recipe.a[1] is {number}: a key takes finite numbers only."


@pytest.mark.parametrize(
    ("value", "name"),
    [({1, 2}, "set"), (frozenset({1}), "frozenset"), (Path("x"), "PosixPath"), (b"x", "bytes")],
)
def test_what_has_no_order_or_no_content_is_refused(value: object, name: str) -> None:
    said = text_of({"model": {"files": value}})
    assert said.startswith(f"recipe.model.files is a {name}: a key takes text, numbers, booleans")
    assert said.endswith("say what is meant as a sorted list or as the sha256 of the content.")


def test_names_that_are_not_text_are_refused() -> None:
    assert text_of({"a": {1: 2}}) == "recipe.a has the name 1: names are strings."


# Keys


def test_a_key_reads_kind_version_and_sixteen_digits_of_the_hash() -> None:
    recipe = Sample()
    digest = sha256_of(
        {
            "kind": "sample",
            "version": 1,
            "recipe": {"size": 3, "rate": 0.5},
            "inputs": {"images": str(CONTENT)},
        }
    )
    assert str(recipe.key(images=CONTENT)) == f"sample-v1-{digest[:16]}"


def test_a_key_is_read_back_from_its_text() -> None:
    key = Sample().key()
    assert ArtifactKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "images", "images-v1-xyz", "Images-v1-0123456789abcdef"])
def test_text_that_is_no_key_is_refused_and_told_how_one_reads(text: str) -> None:
    said = (
        f"{text!r} is not an artifact key. A key reads kind-v1-0123456789abcdef; "
        "`featuremill ls` lists those of the store."
    )
    with pytest.raises(RecipeError, match=f"^{re.escape(said)}$"):
        ArtifactKey.parse(text)


def test_defaults_are_in_the_key() -> None:
    class Before(Recipe):
        kind: ClassVar[str] = "grown"

    class After(Before):
        added: int = 0

    assert After().key() != Before().key()
    assert After().key() == After(added=0).key()


def test_a_raised_version_is_another_key() -> None:
    class Raised(Sample):
        version: ClassVar[int] = 2

    assert str(Raised().key()).startswith("sample-v2-")
    assert Raised().key().digest != Sample().key().digest


def test_another_input_or_name_of_an_input_is_another_key() -> None:
    other = ArtifactKey("content", 1, "f" * 16)
    keys = [Sample().key(), Sample().key(a=CONTENT), Sample().key(b=CONTENT), Sample().key(a=other)]
    assert len(set(keys)) == 4


def test_recipes_that_differ_in_wanted_rows_alone_are_one_family() -> None:
    other = ArtifactKey("content", 1, "f" * 16)
    family = Sample().family({"rows": CONTENT, "model": CONTENT})
    assert family == Sample().family({"rows": other, "model": CONTENT})
    assert family != Sample().family({"rows": CONTENT, "model": other})
    assert family != Sample(size=4).family({"rows": CONTENT, "model": CONTENT})


def test_other_speed_same_key() -> None:
    changes = ["batch_size=512", "lanes=16", "workers=4", "part_rows=64", "device=cpu", "store=a"]
    presets = [load_preset("digits"), load_preset("digits", [f"runtime.{one}" for one in changes])]
    assert presets[0].runtime != presets[1].runtime
    found = [cast(Preset, preset.settings) for preset in presets]
    keys = [ImageRecipe(model=one.model, tokens=one.tokens).key(content=CONTENT) for one in found]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("recipe", [DatasetRecipe, ImageRecipe, LabelRecipe, PromptRecipe])
def test_no_recipe_has_a_field_of_the_runtime(recipe: type[Recipe]) -> None:
    assert not recipe.model_fields.keys() & Runtime.model_fields.keys()


def test_a_recipe_is_frozen_and_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sample().size = 4
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Sample.model_validate({"speed": 3})


def test_a_recipe_takes_no_value_of_another_type() -> None:
    with pytest.raises(ValidationError):
        Sample(size="three")  # type: ignore[arg-type]


def test_a_recipe_takes_no_nan() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Sample(rate=float("nan"))


IN_ANOTHER_PROCESS = """
from conf.images import ImageRecipe, Preset
from conf.keys import ArtifactKey
from conf.models import ModelSpec
from conf.prompts import PromptRecipe, PromptSet

model = ModelSpec(family="pocket", precision="fp32", sha256="0" * 64, library="pocket==1")
prompts = PromptSet(templates=("a photo of {}",), vocabulary=("cat", "Ünïcode"))
content = ArtifactKey("content", 1, "0123456789abcdef")
print(ImageRecipe(model=model).key(content=content))
print(PromptRecipe(model=model, prompts=prompts).key())
"""


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_keys_are_equal_in_every_process_under_every_hash_seed(seed: str) -> None:
    told = subprocess.check_output(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        env=os.environ | {"PYTHONHASHSEED": seed},
        text=True,
    )
    assert told.split() == [
        "image-features-v1-a7b1a4e83b97a59f",
        "prompt-features-v1-7549782536fb506c",
    ]
