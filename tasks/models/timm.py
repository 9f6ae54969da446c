"""Any image model of timm, such as DINOv2: features of images, none of texts.

A model without its classifier, with its own preprocessing. Weights are safetensors in a directory
under the models root, or random. Nothing is downloaded here.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from tasks.models.protocols import EncodedImages, Float32
from tasks.models.timm_files import Found, find_files

if TYPE_CHECKING:
    import torch


class TimmEncoder:
    """An image model of timm; see the module. It has no scale for cosines with texts."""

    token_space = TokenSpace("none")

    def __init__(self, model: Any, spec: ModelSpec, device: str) -> None:
        """Take a model without classifier that is already on `device`."""
        self._model, self._name, self._precision = model, title(spec), spec.precision
        self.device = device
        self.fingerprint = module_fingerprint(model)
        self._transform, self._longest_ratio = _preprocessing(model)
        self.dim, self.token_count, self.token_dim = self._measured()

    def preprocess(self, image: Image.Image) -> Float32:
        """Return (3, height, width) by the model's own transform.

        Of an image more than eight times as long as wide, only the middle that the transform
        keeps is resized.
        """
        ratio = self._longest_ratio
        pixels: Float32 = self._transform(middle(image, ratio) if ratio else image).numpy()
        return pixels

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return features of `pixels`, (batch, 3, height, width): what the classifier would be
        given, of unit norm. Tokens are patches, without class and register tokens."""
        if tokens and not self.token_count:
            raise RecipeError(
                f"Patch tokens were asked of {self._name}, which is no vision transformer. "
                "Leave them out, or take one, such as vit_small_patch14_dinov2."
            )
        pooled, patches = self._forward(pixels)
        return EncodedImages(pooled, patches.float().cpu().numpy() if tokens else None)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Raise RecipeError: there is no tower for texts."""
        raise RecipeError(
            f"Texts were asked of {self._name}, which knows images only. Labels, concepts and "
            'prompts want an image-text model: family = "open_clip", or "pocket". Image features '
            "(flow `images`) can be made with this one."
        )

    def _forward(self, pixels: Float32) -> tuple[Float32, "torch.Tensor"]:
        import torch

        given = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        with arithmetic(self.device, self._precision):
            features = self._model.forward_features(given)
            pooled = self._model.forward_head(features, pre_logits=True)
        unit = torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()
        return unit, features[:, getattr(self._model, "num_prefix_tokens", 0) :]

    def _measured(self) -> tuple[int, int, int]:
        """Return dim, token count and token dim, seen on one grey image."""
        pixels = self.preprocess(Image.new("RGB", (64, 64), (128, 128, 128)))[None]
        pooled, patches = self._forward(pixels)
        if pooled.ndim != 2:
            raise WeightsUnreadable(
                f"{self._name} gives no pooled feature but an array of shape {pooled.shape}: its "
                "configuration sets global_pool to none. Remove that from model_args."
            )
        if not hasattr(self._model, "num_prefix_tokens") or patches.ndim != 3:
            return pooled.shape[1], 0, 0
        return pooled.shape[1], patches.shape[1], patches.shape[2]


def identify(spec: ModelSpec, models_root: Path, sha256: Sha256 = file_sha256) -> ModelSpec:
    """Return `spec` with checksum, library and preprocessing filled in.

    Imports neither torch nor timm. Random weights have the checksum of name, seed and library.
    """
    found = find_files(spec, models_root)
    library = installed(["timm"], extra="clip")
    more: dict[str, Any] = {"revision": found.revision} if found.revision else {}
    if found.config:
        more["preprocessing"] = _own_preprocessing(spec, found.config, sha256)
    if found.weights is None:
        drawn = {"name": spec.name, "seed": seed_of(spec), "library": library}
        return settled(spec, sha256=sha256_of(drawn), library=library, **more)
    return settled(spec, sha256=sha256(found.weights), library=library, **more)


def load(spec: ModelSpec, models_root: Path, device: str) -> TimmEncoder:
    """Return the loaded encoder; raises WeightsDiffer when the file is not the one `spec` pins."""
    identify(spec, models_root)
    device = choose_device(device)
    require_precision(spec, device)
    exact_float32()
    found = find_files(spec, models_root)
    model = _build(spec, found)
    if found.weights:
        _fill(model, found.weights)
    return TimmEncoder(model.eval().requires_grad_(False).to(device), spec, device)


def _own_preprocessing(spec: ModelSpec, config: Path, sha256: Sha256) -> str:
    own = f"config:{sha256(config)[:16]}"
    if spec.preprocessing not in ("native", own):
        raise RecipeError(
            f"The recipe asks for preprocessing {spec.preprocessing!r} of {title(spec)}; {config} "
            f'has {own!r}: another configuration. preprocessing = "native" takes what is there.'
        )
    return own


def _build(spec: ModelSpec, found: Found) -> Any:
    import timm
    import torch

    own: dict[str, Any] = {} if found.pixels is None else {"pretrained_cfg": dict(found.pixels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(spec) if spec.is_random else 0)
        try:
            # num_classes: what a classifier was for is not asked, whatever model_args say.
            given = own | found.arguments | {"num_classes": 0}
            return timm.create_model(found.architecture, pretrained=False, **given)
        except (RuntimeError, TypeError, ValueError, AssertionError, KeyError) as error:
            place = found.config or f"name = {found.architecture!r}"
            reason = " ".join(str(error).split()).rstrip(".")
            raise WeightsUnreadable(
                f"timm does not build the model of {place}: {reason}. The tag is what follows the "
                "dot of a name; model_args are what the architecture takes."
            ) from error


def _fill(model: Any, weights: Path) -> None:
    """Load all weights but a classifier's; raises WeightsUnreadable when any is missing or left
    over, or has another shape."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = _without_classifier(model, load_file(weights))
        if state.keys() != model.state_dict().keys():
            state = _without_classifier(model, _converted(model, state))
        model.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise WeightsUnreadable(
            f"{weights} does not load as this model: {reason}. It has to hold the safetensors of "
            "the architecture that the recipe or config.json names."
        ) from error


def _converted(model: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return weights by timm's names: those of the model's authors differ for many models."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    converted: dict[str, Any] = convert(state, model) if convert else state
    return converted


def _without_classifier(model: Any, state: dict[str, Any]) -> dict[str, Any]:
    named = model.pretrained_cfg.get("classifier") or ()
    layers = (named,) if isinstance(named, str) else tuple(named)
    dropped = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    return {name: tensor for name, tensor in state.items() if name not in dropped}


def _preprocessing(model: Any) -> tuple[Any, int | None]:
    """Return the model's own transform, and the ratio of sides beyond which the middle is all that
    it can use."""
    data: Any = importlib.import_module("timm.data")  # much of it is without types
    said = data.resolve_model_data_config(model)
    ratio = {"center": SLENDER, "border": int(min(said["input_size"][1:]))}
    return data.create_transform(**said, is_training=False), ratio.get(said["crop_mode"])
