"""piq's CLIP-IQA from files on this machine: its own arithmetic, nothing downloaded."""

import warnings
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conf.quality import PiqClipIqaRecipe
from conf.runtime import Runtime
from tasks.quality.weights import check_sha256, find_clip_iqa

STRIDE_PX, NATIVE_PX = 32, 2048 * 2048
"""What RN50 makes one cell of; as many pixels as the largest standard image can have."""


def load_clip_iqa(recipe: PiqClipIqaRecipe, given: Path | None, runtime: Runtime) -> Any:
    """Return piq's model by the weights that `recipe` names; raises WeightsMissing.

    RN50.pt is a TorchScript archive: it is loaded only when its sha256 is the recipe's.
    """
    folder = find_clip_iqa(given, runtime)
    check_sha256(folder / "RN50.pt", recipe.weights_sha256, runtime)
    check_sha256(folder / "clipiqa_tokens.pt", recipe.tokens_sha256, runtime)
    return _load(folder, recipe.weights_sha256, recipe.tokens_sha256)


@lru_cache(maxsize=1)
def _load(folder: Path, *sha256s: str) -> Any:
    """Return the model of the files that are in `folder` now; others have other `sha256s`."""
    import torch

    load_archive: Any = torch.jit.load
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", FutureWarning)
        archive = load_archive(folder / "RN50.pt", map_location="cpu")  # there is no other format
    tokens = torch.load(folder / "clipiqa_tokens.pt", map_location="cpu", weights_only=True)
    return clip_iqa_of(archive.state_dict(), tokens)


def clip_iqa_of(weights: dict[str, Any], tokens: Any) -> Any:
    """Return piq's CLIPIQA of CLIP `weights` and the `tokens` of its two prompts.

    It is what `piq.CLIPIQA()` builds, which takes its files from one place only.
    """
    import piq
    import torch
    from piq.clip_iqa import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
    from piq.feature_extractors.clip import build_model

    model = piq.CLIPIQA.__new__(piq.CLIPIQA)
    torch.nn.Module.__init__(model)
    model.feature_extractor = build_model(weights).float().eval().requires_grad_(False)
    with torch.no_grad():
        anchors = model.feature_extractor.encode_text(tokens).float()
    model.data_range, model.logit_scale = 1.0, model.feature_extractor.logit_scale.exp()
    model.register_buffer("anchors", anchors / anchors.norm(dim=-1, keepdim=True))
    model.register_buffer("default_mean", torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1))
    model.register_buffer("default_std", torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1))
    return model


def score_image(model: Any, image: Image.Image, size_px: int) -> tuple[float | None, float | None]:
    """Return CLIP-IQA in [0, 1]: of the image resized to `size_px` squared, and as it is.

    None where it is not finite; as it is, also for images that RN50 has no cell for, and for those
    beyond NATIVE_PX, which would take gigabytes.
    """
    resized = image.resize((size_px, size_px), Image.Resampling.BICUBIC)
    fits = min(image.size) >= STRIDE_PX and image.width * image.height <= NATIVE_PX
    return _score(model, resized), _score(model, image) if fits else None


def _score(model: Any, image: Image.Image) -> float | None:
    import torch

    pixels = torch.from_numpy(np.array(image).transpose(2, 0, 1)[None]).float() / 255
    with torch.inference_mode():
        score = float(model(pixels)[0, 0])
    return score if isfinite(score) else None
