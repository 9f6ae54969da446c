"""Recipes of tokens: what is in their keys, and what is refused."""

import pytest

from conf.errors import RecipeError
from conf.keys import ArtifactKey
from conf.load import load_preset
from conf.tokens import IndexRecipe, PostingsRecipe, Preset, SaeRecipe, TextModel

ZEROS = "0" * 64


def test_the_key_of_an_index_is_pinned() -> None:
    postings = PostingsRecipe(activations_sha256=ZEROS, n_features=24576).key()
    assert str(postings) == "token-postings-v1-6a25728c24dd45d4"
    key = IndexRecipe().key(postings=postings, reviews=ArtifactKey("token-reviews", 1, "0" * 16))
    assert str(key) == "token-index-v2-0d628fc6feec00e1"


def test_the_preset_of_the_seed_has_its_constants() -> None:
    preset = Preset.model_validate(load_preset("reviews").settings)
    assert preset.n_features == 24_576
    assert preset.tokenizer == "gpt2"
    assert preset.files is not None
    name = "mexican_national_sae_features_e32_k32_lr0_0003-final.h5"
    assert str(preset.files.activations) == f"/data/{name}"
    assert str(preset.files.metadata) == "/data/mexican_national_metadata.npz"


def test_files_without_n_features_are_refused_and_told_why() -> None:
    with pytest.raises(ValueError, match="n_features is missing: the activation file does not"):
        Preset.model_validate({"files": {"activations": "a.h5", "metadata": "m.npz"}})


def test_more_active_features_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="k = 9 of 8 features cannot be active"):
        SaeRecipe(model=TextModel(), n_features=8, k=9)


def test_a_wrong_field_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="n_feature"):
        load_preset("reviews", ["n_feature=3"])
