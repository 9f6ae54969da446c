"""Any model of open_clip: its towers, its tokenizer, its own preprocessing.

Weights are a pretrained tag, a hub repository, a directory, or random. Nothing is downloaded here.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from conf.errors import RecipeError
from conf.keys import sha256_of
from conf.models import ModelSpec
from storage.encoders import TokenSpace
from tasks.models.devices import (
    arithmetic,
    choose_device,
    exact_float32,
    module_fingerprint,
    require_precision,
    torch_dtype,
)
from tasks.models.identity import (
    Sha256,
    WeightsUnreadable,
    file_sha256,
    installed,
    seed_of,
    settled,
    title,
)
from tasks.models.middle import SLENDER, middle
from tasks.models.open_clip_build import build
from tasks.models.open_clip_files import (
    configuration,
    deciding_files,
    find_files,
)
from tasks.models.protocols import EncodedImages, Float32

if TYPE_CHECKING:
    import torch

_TEXT_BATCH = 64
_TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 4e-2}


class OpenClipEncoder:
    """An open_clip model; see the module."""

    def __init__(self, model: Any, tokenizer: Any, spec: ModelSpec, device: str) -> None:
        """Take a model already on `device` and in the precision of `spec`."""
        self._model, self._tokenizer, self._precision = model, tokenizer, spec.precision
        self.device = device
        self.fingerprint = module_fingerprint(model)
        self.logit_scale = float(model.logit_scale.detach().exp().reshape(-1)[0])
        bias = model.logit_bias
        self.logit_bias = None if bias is None else float(bias.detach().reshape(-1)[0])
        self.activation: Literal["softmax", "sigmoid"] = "softmax" if bias is None else "sigmoid"
        self._geometry, self._table, self._longest_ratio = _preprocessing(model)
        self._one_tokenizer_at_a_time = threading.Lock()
        self.dim, self.token_count, self.token_dim = self._measured(title(spec))
        self.token_space = _token_space(model.visual)

    def preprocess(self, image: Image.Image) -> Float32:
        """Return (3, height, width) by the model's own transform.

        Of an image more than eight times as long as wide, only the middle that the transform
        keeps is resized: the whole would be enlarged to gigabytes.
        """
        ratio = self._longest_ratio
        levels = np.asarray(self._geometry(middle(image, ratio) if ratio else image))
        pixels: Float32 = np.empty((3, *levels.shape[:2]), np.float32)
        for channel in range(3):  # "clip" spares a copy; no grey level is out of range
            np.take(self._table[channel], levels[..., channel], out=pixels[channel], mode="clip")
        return pixels

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return features of `pixels`, (batch, 3, height, width); tokens after the last norm."""
        if tokens and not self.token_count:
            raise RecipeError(
                "Patch tokens were asked of an open_clip model whose image tower gives none. "
                "Leave them out, or take one with a vision transformer, such as ViT-B-32."
            )
        with arithmetic(self.device, self._precision):
            given = self._given(pixels)
            if not tokens:
                return EncodedImages(_unit(self._model.encode_image(given)))
            said = self._with_tokens(given)
        patches: Float32 = said["image_intermediates"][-1].float().cpu().numpy()
        return EncodedImages(_unit(said["image_features"]), patches)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Return (n, dim) of unit norm; texts longer than the model's context are cut to it."""
        starts = range(0, len(texts), _TEXT_BATCH)
        rows = [self._text_batch(list(texts[start : start + _TEXT_BATCH])) for start in starts]
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    def _text_batch(self, texts: list[str]) -> Float32:
        with self._one_tokenizer_at_a_time:
            ids = self._tokenizer(texts)
        with arithmetic(self.device, self._precision):
            return _unit(self._model.encode_text(ids.to(self.device)))

    def _given(self, pixels: Float32) -> "torch.Tensor":
        import torch

        given = torch.from_numpy(np.ascontiguousarray(pixels))
        return given.to(self.device, torch_dtype(self._precision))

    def _with_tokens(self, given: "torch.Tensor") -> dict[str, Any]:
        said: dict[str, Any] = self._model.forward_intermediates(
            image=given,
            image_indices=1,
            normalize=False,
            normalize_intermediates=True,
            image_output_fmt="NLC",
            image_output_extra_tokens=True,
        )
        return said

    def _measured(self, name: str) -> tuple[int, int, int]:
        """Return dim, token count and token dim, seen on one image of noise.

        Raises WeightsUnreadable when the path that gives tokens gives another pooled feature.
        """
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
        pixels = self.preprocess(noise)[None]
        pooled = self.encode_images(pixels).pooled
        try:
            with arithmetic(self.device, self._precision):
                said = self._with_tokens(self._given(pixels))
        except (AssertionError, AttributeError, NotImplementedError, TypeError):
            return pooled.shape[1], 0, 0  # how towers without patches say so
        off = float(np.abs(_unit(said["image_features"]) - pooled).max())
        if off > _TOLERANCE[self._precision]:
            raise WeightsUnreadable(
                f"{name}: the pooled feature of the token path differs from encode_image by "
                f"{off:.2g} (at most {_TOLERANCE[self._precision]:.2g} is rounding). "
                "Try another release of open_clip_torch, and report the model."
            )
        _, count, width = said["image_intermediates"][-1].shape
        return pooled.shape[1], count, width


def identify(spec: ModelSpec, models_root: Path, sha256: Sha256 = file_sha256) -> ModelSpec:
    """Return `spec` with checksum, library and preprocessing filled in.

    Imports neither torch nor open_clip. Random weights have the checksum of name, seed and library.
    """
    found = find_files(spec, models_root)
    more = {}
    if deciding := deciding_files(spec, found):
        more["preprocessing"] = _own_preprocessing(spec, deciding, sha256)
    library = installed(_packages(configuration(spec, found)), extra="clip")
    if found.weights is None:
        drawn = {"name": spec.name, "seed": seed_of(spec), "library": library}
        return settled(spec, sha256=sha256_of(drawn), library=library, **more)
    return settled(spec, sha256=sha256(found.weights), library=library, **more)


def load(spec: ModelSpec, models_root: Path, device: str) -> OpenClipEncoder:
    """Return the loaded encoder; raises WeightsDiffer when the file is not the one `spec` pins."""
    identify(spec, models_root)
    device = choose_device(device)
    require_precision(spec, device)
    exact_float32()
    found = find_files(spec, models_root)
    model, tokenizer = build(spec, found)
    return OpenClipEncoder(model.eval().to(device), tokenizer, spec, device)


def _packages(config: dict[str, Any]) -> list[str]:
    """Return the packages that run the model: a configuration may ask for timm or transformers."""
    timm = "timm_model_name" in config["vision_cfg"]
    hugging = "hf_model_name" in config["text_cfg"]
    return ["open_clip_torch", *["timm"] * timm, *["transformers"] * hugging]


def _own_preprocessing(spec: ModelSpec, deciding: list[Path], sha256: Sha256) -> str:
    """Return "config:<16 hex>", of the files beside the weights that decide features too."""
    digests = {path.name: sha256(path) for path in deciding}
    own = f"config:{sha256_of(digests)[:16]}"
    if spec.preprocessing not in ("native", own):
        raise RecipeError(
            f"The recipe asks for preprocessing {spec.preprocessing!r} of {title(spec)}; the "
            f"directory {deciding[0].parent} has {own!r}: another configuration or "
            'tokenizer. preprocessing = "native" takes what is there.'
        )
    return own


def _preprocessing(model: Any) -> tuple[Any, Float32, int | None]:
    """Return the model's own transform up to the pixels, then (3, 256) what grey levels become.

    Last comes the ratio of sides beyond which the middle is all that the transform can use.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision.transforms import Compose, Normalize, ToTensor

    own = PreprocessCfg(**model.visual.preprocess_cfg)
    steps = image_transform_v2(own, is_train=False).transforms
    geometry = [step for step in steps if not isinstance(step, ToTensor | Normalize)]
    mean, std = (np.asarray(part, np.float32)[:, None] for part in (steps[-1].mean, steps[-1].std))
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    ratio = {"shortest": SLENDER, "longest": int(np.min(own.size))}.get(own.resize_mode)
    return Compose(geometry), (levels - mean) / std, ratio


def _token_space(visual: Any) -> TokenSpace:
    """Return how patch tokens of an image tower compare with texts.

    open_clip's own vision transformers project their pooled token by a matrix, which holds for
    every token (Zhou et al. 2022, MaskCLIP); a tower that pools by attention, such as SigLIP's, has
    no such matrix.
    """
    matrix: Any = getattr(visual, "proj", None)
    if getattr(matrix, "ndim", 0) != 2 or getattr(visual, "attn_pool", None) is not None:
        return TokenSpace("none")
    projection: Float32 = matrix.detach().float().cpu().numpy()
    squashed = getattr(visual, "preprocess_cfg", {}).get("resize_mode") == "squash"
    return TokenSpace("projected", projection, "image" if squashed else "center")


def _unit(features: "torch.Tensor") -> Float32:
    import torch

    unit: Float32 = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return unit
