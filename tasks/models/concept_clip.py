"""ConceptCLIP (Nie et al. 2025), through transformers: its model is code of its own repository.

That code runs only when the recipe pins the commit and the user consents to that very commit; its
files are part of the key. Patch tokens go through `image_proj` and text tokens through `text_proj`,
so that both lie in the space that concepts are scored in.
"""

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from conf.errors import RecipeError
from conf.keys import sha256_of
from conf.models import ModelSpec
from storage.encoders import TextTokens, TokenSpace
from tasks.models.devices import (
    arithmetic,
    choose_device,
    exact_float32,
    module_fingerprint,
    require_precision,
    torch_dtype,
)
from tasks.models.identity import (
    LOCAL,
    Sha256,
    WeightsMissing,
    WeightsUnreadable,
    file_sha256,
    installed,
    settled,
    title,
)
from tasks.models.open_clip_files import ORIGIN_NAME
from tasks.models.protocols import EncodedImages, Float32

if TYPE_CHECKING:
    import torch

CONSENT = "FEATUREMILL_TRUST_REMOTE_CODE"
"""Names what code may run: REPOSITORY@COMMIT, or local-dir:NAME@SHA256 of its code; several
separated by commas."""
CONTEXT = 77
_TEXT_BATCH = 64
_DEFAULT = "JerrryNie/ConceptCLIP"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_DECIDING = ("*.py", "*.json", "*.txt")
_PIN = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class ConceptClipEncoder:
    """ConceptCLIP; see the module."""

    activation: Literal["softmax", "sigmoid"] = "softmax"
    token_space = TokenSpace("text")

    def __init__(self, model: Any, processor: Any, spec: ModelSpec, device: str) -> None:
        """Take a model already on `device`, and the processor of its repository."""
        self._model, self._processor, self._precision = model, processor, spec.precision
        self._tokenizer = processor.tokenizer
        self._context = min(CONTEXT, int(self._tokenizer.model_max_length))
        self._one_tokenizer_at_a_time = threading.Lock()
        self.device = device
        self.fingerprint = module_fingerprint(model)
        self._measure(title(spec))

    def preprocess(self, image: Image.Image) -> Float32:
        """Return (3, height, width) by the processor of the repository."""
        said = self._processor.image_processor(images=image.convert("RGB"), return_tensors="np")
        return np.ascontiguousarray(said["pixel_values"][0], np.float32)

    def encode_images(self, pixels: Float32, *, tokens: bool = False) -> EncodedImages:
        """Return features of `pixels`, (batch, 3, height, width); tokens after `image_proj`."""
        with arithmetic(self.device, self._precision):
            pooled, patches = self._model.encode_image(self._given(pixels), normalize=True)
            kept = self._model.image_proj(patches) if tokens else None
        return EncodedImages(_unit(pooled), None if kept is None else _floats(kept))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Return (n, dim) of unit norm; texts are padded and cut to 77 tokens."""
        starts = range(0, len(texts), _TEXT_BATCH)
        rows = [self._text_batch(texts[start : start + _TEXT_BATCH])[0] for start in starts]
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    def encode_text_tokens(
        self, texts: Sequence[str], words: Sequence[str] | None = None
    ) -> TextTokens:
        """Return the tokens of `texts` after `text_proj`, and where in each its word stands."""
        starts = range(0, len(texts), _TEXT_BATCH)
        rows = [self._text_batch(texts[start : start + _TEXT_BATCH])[1] for start in starts]
        pairs = zip(texts, words or texts, strict=True)
        spans = np.array([self._span(text, word) for text, word in pairs], np.int64)
        empty = np.empty((0, self._context, self.dim), np.float32)
        return TextTokens(np.concatenate(rows) if rows else empty, spans.reshape(-1, 2))

    def _text_batch(self, texts: Sequence[str]) -> tuple[Float32, Float32]:
        ids = self._ids(texts)
        with arithmetic(self.device, self._precision):
            pooled, tokens = self._model.encode_text(ids.to(self.device), normalize=True)
            projected = self._model.text_proj(tokens)
        return _unit(pooled), _floats(projected)

    def _ids(self, texts: Sequence[str]) -> "torch.Tensor":
        with self._one_tokenizer_at_a_time:
            said = self._tokenizer(
                list(texts),
                padding="max_length",
                truncation=True,
                max_length=self._context,
                return_tensors="pt",
            )
        ids: torch.Tensor = said["input_ids"]
        return ids

    def _span(self, text: str, word: str) -> tuple[int, int]:
        """Return the first token of `word` in `text` and the one behind its last.

        A word that is not there, or beyond the context, is the whole text.
        """
        start = text.rfind(word)
        with self._one_tokenizer_at_a_time:
            said = self._tokenizer(
                text, truncation=True, max_length=self._context, return_offsets_mapping=True
            )
        inside = [
            place
            for place, (first, last) in enumerate(said["offset_mapping"])
            if last > first and (start < 0 or (first < start + len(word) and last > start))
        ]
        return (inside[0], inside[-1] + 1) if inside else (0, len(said["offset_mapping"]))

    def _given(self, pixels: Float32) -> "torch.Tensor":
        import torch

        given = torch.from_numpy(np.ascontiguousarray(pixels))
        return given.to(self.device, torch_dtype(self._precision))

    def _measure(self, name: str) -> None:
        """Take sizes and logit parameters from the model's own output on an image of noise."""
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
        pixels, ids = self.preprocess(noise)[None], self._ids(["a photo"])
        try:
            with arithmetic(self.device, self._precision):
                said = self._model(pixel_values=self._given(pixels), input_ids=ids.to(self.device))
            scale, concept_scale = (said[n] for n in ("logit_scale", "concept_logit_scale"))
            encoded = self.encode_images(pixels, tokens=True)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsUnreadable(
                f"{name} does not behave as ConceptCLIP does ({error}). Take the commit that "
                "README of its repository describes, and report the one that fails."
            ) from error
        assert encoded.tokens is not None
        self.logit_scale, self.concept_logit_scale = _number(scale), _number(concept_scale)
        self.logit_bias: float | None = _optional(said, "logit_bias")
        self.concept_logit_bias: float | None = _optional(said, "concept_logit_bias")
        self.dim = encoded.pooled.shape[1]
        self.token_count, self.token_dim = encoded.tokens.shape[1:]


def identify(spec: ModelSpec, models_root: Path, sha256: Sha256 = file_sha256) -> ModelSpec:
    """Return `spec` with checksum, library and code filled in; nothing is run or imported.

    Raises RecipeError without a pinned commit, and WeightsMissing.
    """
    folder, weights = _find(spec, models_root)
    own = f"config:{code_sha256(folder, sha256)[:16]}"
    if spec.preprocessing not in ("native", own):
        raise RecipeError(
            f"The recipe asks for code and configuration {spec.preprocessing!r} of {title(spec)}; "
            f'{folder} has {own!r}. preprocessing = "native" takes what is there.'
        )
    library = installed(["transformers"])
    return settled(spec, sha256=sha256(weights), library=library, preprocessing=own)


def code_sha256(folder: Path, sha256: Sha256 = file_sha256) -> str:
    """Return the sha256, in hex, over the code and configuration in `folder`: all but weights."""
    found = {path for pattern in _DECIDING for path in folder.rglob(pattern)}
    named = {path.relative_to(folder).as_posix(): path for path in found}
    return sha256_of({name: sha256(path) for name, path in named.items() if name != ORIGIN_NAME})


def load(spec: ModelSpec, models_root: Path, device: str) -> ConceptClipEncoder:
    """Return the loaded encoder; raises RecipeError unless the user consents to its code."""
    identify(spec, models_root)
    _require_consent(spec)
    device = choose_device(device)
    require_precision(spec, device)
    exact_float32()
    folder, _ = _find(spec, models_root)
    _refuse_code_elsewhere(spec, folder)
    model, processor = _build(spec, folder)
    return ConceptClipEncoder(model.eval().to(device), processor, spec, device)


def _build(spec: ModelSpec, folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoProcessor

    given = {"trust_remote_code": True, "local_files_only": True}
    auto: Any = AutoProcessor  # its from_pretrained has no types
    try:
        processor = auto.from_pretrained(folder, **given)
        model = AutoModel.from_pretrained(folder, dtype=torch_dtype(spec.precision), **given)
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsUnreadable(
            f"{folder} does not load as {title(spec)}: {reason}. Fetch it again at the commit that "
            "the recipe pins."
        ) from error
    return model, processor


def _require_consent(spec: ModelSpec) -> None:
    is_local = spec.weights.startswith(LOCAL)
    wanted = f"{spec.weights if is_local else _repository(spec)}@{spec.revision}"
    given = [one.strip() for one in os.environ.get(CONSENT, "").split(",")]
    if wanted not in given:
        raise RecipeError(
            f"{title(spec)} is code of its own repository, which would run on this machine. Read "
            f"it, then consent to what the recipe pins and to nothing else: {CONSENT}={wanted}"
        )


def _refuse_code_elsewhere(spec: ModelSpec, folder: Path) -> None:
    """Raise RecipeError where a configuration names code of another repository, as transformers
    lets it ("owner/name--module.Class"): nobody consented to that, and no commit pins it."""
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        named = found.get("auto_map") if isinstance(found, dict) else None
        classes = list(named.values()) if isinstance(named, dict) else [named]
        foreign = [name for name in classes if "--" in json.dumps(name)]
        if foreign:
            raise RecipeError(
                f"{path.name} of {title(spec)} runs code of another repository ({foreign[0]}), "
                "which the commit does not pin. Take a commit that has its code beside it."
            )


def _repository(spec: ModelSpec) -> str:
    return _DEFAULT if spec.name == "default" else spec.name


def _find(spec: ModelSpec, models_root: Path) -> tuple[Path, Path]:
    """Return the directory of the model and its weights; raises WeightsMissing."""
    if not _PIN.fullmatch(spec.revision or ""):
        raise RecipeError(
            f"{title(spec)} runs code of its repository, so the recipe must pin the commit: "
            f"model.revision = {spec.revision!r} is no commit of 40 hex digits, nor the 64 of the "
            "code of a directory of your own. "
            f"`featuremill models fetch hf-hub:{_repository(spec)} --revision COMMIT` fetches one."
        )
    folders = _folders(spec, models_root)
    for folder in folders:
        weights = next((folder / n for n in WEIGHTS if (folder / n).is_file()), None)
        if weights and (folder / "config.json").is_file():
            _check_origin(spec, folder)
            return folder, weights
    raise WeightsMissing(
        title(spec),
        folders,
        f"Fetch them with `featuremill models fetch hf-hub:{_repository(spec)} --revision "
        f"{spec.revision}`; the repository is gated: ask for access there and set HF_TOKEN.",
    )


def _folders(spec: ModelSpec, models_root: Path) -> list[Path]:
    if spec.weights.startswith(LOCAL):
        name = spec.weights.removeprefix(LOCAL)
        if not name or Path(name).name != name or name.startswith("."):
            raise RecipeError(
                f'weights = "{spec.weights}" leads out of the models root {models_root}: '
                "name a directory in it."
            )
        return [models_root / name]
    home = _repository(spec).replace("/", "--")
    cache = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser() / "hub"
    return [models_root / home, cache / f"models--{home}" / "snapshots" / str(spec.revision)]


def _check_origin(spec: ModelSpec, folder: Path) -> None:
    """Raise RecipeError unless the code in `folder` is what the recipe pins.

    The hub's cache and `models fetch` say which commit it is of. Of any other directory nobody
    knows: there the pin is the sha256 of the code itself.
    """
    record = folder / ORIGIN_NAME
    if folder.parent.name == "snapshots":
        return
    if record.is_file() and not spec.weights.startswith(LOCAL):
        found = json.loads(record.read_text()).get("revision")
        if found != spec.revision:
            raise RecipeError(
                f"The recipe pins commit {spec.revision} of {title(spec)}, {folder} has {found}. "
                "Fetch the pinned one, or pin the one that is there."
            )
    elif (own := code_sha256(folder)) != spec.revision:
        raise RecipeError(
            f"{folder} is a directory of your own, and no commit says what its code is: the recipe "
            f"pins {spec.revision}, the code has sha256 {own}. Read it, then pin that: "
            f"--set model.revision={own}"
        )


def _unit(features: "torch.Tensor") -> Float32:
    import torch

    unit: Float32 = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return unit


def _floats(tokens: "torch.Tensor") -> Float32:
    floats: Float32 = tokens.float().cpu().numpy()
    return floats


def _number(value: Any) -> float:
    return (
        float(value.detach().float().reshape(-1)[0]) if hasattr(value, "detach") else float(value)
    )


def _optional(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    return None if value is None else _number(value)
