"""Encoders that tests share: each is made and loaded once a session."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.load import load_encoder, resolve
from tasks.models.protocols import ImageTextEncoder

_TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": _TEXT,
}
TINY_SIGLIP = {
    "embed_dim": 96,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit3",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": _TEXT
    | {
        "vocab_size": 64,
        "hf_tokenizer_name": "nobody/nothing",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}
SQUASHED = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}


TINY_DINO = {
    "architecture": "vit_small_patch14_dinov2",
    "model_args": {"img_size": 56, "embed_dim": 48, "depth": 2, "num_heads": 2},
    "pretrained_cfg": {
        "input_size": [3, 56, 56],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}


def write_dino(folder: Path) -> None:
    """Write what timm's repositories have beside the weights, of a DINOv2 that is small."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(TINY_DINO))


def write_config(folder: Path, model: dict[str, Any], preprocess: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "a", "photo", "of", "cat", "dog", "red", "square"]
    tokenizer = Tokenizer(
        models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models root with tiny models: `clip`, `siglip` with its own tokenizer, `dino`."""
    root = tmp_path_factory.mktemp("models")
    write_config(root / "clip", TINY_CLIP, {})
    write_config(root / "siglip", TINY_SIGLIP, SQUASHED)
    write_tokenizer(root / "siglip")
    write_dino(root / "dino")
    return root


@pytest.fixture(scope="session")
def runtime(models_root: Path) -> Runtime:
    return Runtime(models=models_root, device="cpu")


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., ModelSpec]:
    """Return a maker of specs of the named test encoder, with any field replaced."""
    named = {
        "pocket": {"family": "pocket"},
        "toy": {"family": "toy"},
        "clip": {"family": "open_clip", "name": "local-dir:clip", "weights": "random:1"},
        "siglip": {"family": "open_clip", "name": "local-dir:siglip", "weights": "random:2"},
        "dino": {"family": "timm", "name": "local-dir:dino", "weights": "random:3"},
    }

    def make(which: str, **fields: Any) -> ModelSpec:
        return ModelSpec(**({"precision": "fp32"} | named[which] | fields))

    return make


@pytest.fixture(scope="session")
def encoder(
    make_spec: Callable[..., ModelSpec], runtime: Runtime
) -> Callable[..., ImageTextEncoder]:
    """Return a loader of the named test encoder."""
    import torch

    # Other processes share the cores: threads that wait for each other would spin for seconds.
    torch.set_num_threads(1)

    def loaded(which: str, **fields: Any) -> ImageTextEncoder:
        return load_encoder(resolve(make_spec(which, **fields), runtime), runtime)

    return loaded
