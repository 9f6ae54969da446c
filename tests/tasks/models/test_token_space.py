from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.models import ModelSpec
from storage.encoders import text_tokens, token_space
from tasks.models.open_clip_files import configuration, find_files


def noise() -> Image.Image:
    levels = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    return Image.fromarray(levels)


def test_open_clips_own_towers_project_every_patch_as_they_do_the_pooled_one(
    encoder: Callable[..., Any],
) -> None:
    model = encoder("clip")
    space = token_space(model)
    assert space.name == "projected"
    assert space.grid == "center"
    assert space.projection is not None
    assert space.projection.shape == (model.token_dim, model.dim)
    tokens = model.encode_images(model.preprocess(noise())[None], tokens=True).tokens
    assert (tokens[0] @ space.projection).shape == (model.token_count, model.dim)


def test_a_tower_that_pools_by_attention_has_no_way_into_the_space_of_texts(
    encoder: Callable[..., Any],
) -> None:
    """SigLIP's interface: as many numbers in a patch as in a text, and still another space."""
    model = encoder("siglip")
    assert model.token_dim == model.dim
    assert token_space(model).name == "none"


def test_a_model_without_tokens_has_none(encoder: Callable[..., Any]) -> None:
    assert token_space(encoder("pocket")).name == "none"


def test_only_models_that_project_text_tokens_have_them(encoder: Callable[..., Any]) -> None:
    assert text_tokens(encoder("clip"), ["a photo"]) is None


@pytest.mark.parametrize(
    ("name", "tokens", "context", "bias"),
    [("ViT-SO400M-16-SigLIP2-384", 576, 64, True), ("ViT-L-14", 256, 77, False)],
)
def test_the_models_of_the_concept_store_are_what_their_page_says(
    name: str, tokens: int, context: int, bias: bool
) -> None:
    """Read from open_clip's own list: the models themselves take gigabytes."""
    listed = ModelSpec(family="open_clip", name=name, weights="random:0", precision="fp32")
    model = configuration(listed, find_files(listed, Path("nowhere")))
    vision, text = model["vision_cfg"], model["text_cfg"]
    patch_px = vision.get("patch_size") or int(vision["timm_model_name"].split("patch")[1][:2])
    assert (vision["image_size"] // patch_px) ** 2 == tokens
    assert text["context_length"] == context
    assert ("init_logit_bias" in model) == bias
    assert (text.get("tokenizer_kwargs") == {"clean": "canonicalize"}) == bias
