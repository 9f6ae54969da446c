"""all-MiniLM-L6-v2 in plain torch: six BERT layers, mean pooling, unit norm.

Written out because importing BERT from `transformers` costs five seconds and this costs none;
a test holds it to that library's output. Model: Reimers and Gurevych 2019 (sentence-transformers).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.models.protocols import Float32

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

_MAX_TOKENS = 256  # its sentence_bert_config.json; the tokenizer's own limit of 128 is not used
_BATCH = 64


class MiniLm:
    """The text tower: texts in, unit-norm sentence embeddings out."""

    def __init__(self, folder: Path, device: str) -> None:
        """Read `model.safetensors`, `config.json` and `tokenizer.json` of `folder`."""
        from safetensors.torch import load_file

        self._config = json.loads((folder / "config.json").read_text())
        self._device = device
        self.tower = _empty_tower(self._config)
        self.tower.load_state_dict(_translated(load_file(folder / "model.safetensors")))
        self.tower.eval().to(device)
        self._tokenizer = _tokenizer(folder)

    def embed(self, texts: Sequence[str]) -> Float32:
        """Return (n, width) float32 of unit norm; texts of like length go through together."""
        encoded = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda row: len(encoded[row].ids))
        out = np.empty((len(texts), self._config["hidden_size"]), np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            out[rows] = self._batch([encoded[row].ids for row in rows])
        return out

    def _batch(self, token_ids: list[list[int]]) -> Float32:
        import torch

        ids = torch.zeros(len(token_ids), max(map(len, token_ids)), dtype=torch.long)
        padding = torch.ones_like(ids, dtype=torch.bool)
        for row, given in enumerate(token_ids):
            ids[row, : len(given)] = torch.tensor(given)
            padding[row, : len(given)] = False
        with torch.no_grad():
            embedded = self._forward(ids.to(self._device), padding.to(self._device))
        rows: Float32 = embedded.cpu().numpy()
        return rows

    def _forward(self, ids: "Tensor", padding: "Tensor") -> "Tensor":
        """Return (n, width) for `ids`, (n, length), and `padding`, True where there is no token."""
        import torch

        part: dict[str, Any] = dict(self.tower.named_children())
        places = part["places"].weight[: ids.shape[1]]
        hidden = part["norm"](part["words"](ids) + places + part["kinds"].weight[0])
        for layer in part["layers"]:
            hidden = layer(hidden, src_key_padding_mask=padding)
        kept = (~padding)[..., None].to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * kept).sum(1) / kept.sum(1), dim=-1)


def _empty_tower(config: dict[str, Any]) -> "nn.ModuleDict":
    from torch import nn

    width, eps = config["hidden_size"], config["layer_norm_eps"]
    layers = [
        nn.TransformerEncoderLayer(
            width, config["num_attention_heads"], config["intermediate_size"], dropout=0.0,
            activation=config["hidden_act"], layer_norm_eps=eps, batch_first=True,
        )
        for _ in range(config["num_hidden_layers"])
    ]  # fmt: skip
    return nn.ModuleDict(
        {
            "words": nn.Embedding(config["vocab_size"], width),
            "places": nn.Embedding(config["max_position_embeddings"], width),
            "kinds": nn.Embedding(config["type_vocab_size"], width),
            "norm": nn.LayerNorm(width, eps=eps),
            "layers": nn.ModuleList(layers),
        }
    )


def _tokenizer(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MAX_TOKENS)
    return tokenizer


_EMBEDDINGS = {
    "word_embeddings.weight": "words.weight",
    "position_embeddings.weight": "places.weight",
    "token_type_embeddings.weight": "kinds.weight",
    "LayerNorm.weight": "norm.weight",
    "LayerNorm.bias": "norm.bias",
}
_LAYER = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


def _translated(given: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Return the weights under torch's names; queries, keys and values become one matrix."""
    import torch

    ours = {new: given[f"embeddings.{old}"] for old, new in _EMBEDDINGS.items()}
    layers = 1 + max(int(name.split(".")[2]) for name in given if name.startswith("encoder."))
    for layer, end in ((layer, end) for layer in range(layers) for end in ("weight", "bias")):
        old, new = f"encoder.layer.{layer}.", f"layers.{layer}."
        parts = [given[f"{old}attention.self.{one}.{end}"] for one in ("query", "key", "value")]
        ours[f"{new}self_attn.in_proj_{end}"] = torch.cat(parts)
        for theirs, mine in _LAYER.items():
            ours[f"{new}{mine}.{end}"] = given[f"{old}{theirs}.{end}"]
    return ours
