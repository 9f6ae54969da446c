"""A TopK sparse autoencoder, trained: Gao et al. 2024 (https://arxiv.org/abs/2406.04093).

The k largest latents reconstruct a hidden state; latents that have not been active for a while
reconstruct what is left (the paper's AuxK loss), so that few stay dead.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from conf.tokens import SaeRecipe
from storage.tokens.errors import BadActivations
from storage.tokens.sae import Sae
from tasks.models.protocols import Float32

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_DEAD_STEPS = 50
_AUX_SHARE = 1 / 32
_AUX_LATENTS = 64
_LATENTS_AT_ONCE = 1 << 25
_DECODED_AT_ONCE = 1 << 10


def train_sae(recipe: SaeRecipe, states: Float32, device: str) -> tuple[Sae, float]:
    """Return the autoencoder of `states` (tokens, d) and how much of the variance it explains.

    The share is of the last tenth of the states, which it was not trained on; at most 1, and less
    than 0 for one worse than the mean. The same states give the same weights on one machine.
    """
    import torch

    generator = torch.Generator().manual_seed(recipe.seed)
    held = max(1, len(states) // 10)
    train = torch.from_numpy(states[:-held]).to(device)
    weights = _first_weights(recipe, train, generator)
    optimizer = torch.optim.Adam(weights.values(), lr=recipe.learning_rate)
    idle = torch.zeros(recipe.n_features, dtype=torch.long, device=device)
    variance = train.var(dim=0).sum()
    for step in range(recipe.steps):
        rows = torch.randint(len(train), (recipe.batch_tokens,), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, 5 * (1 - step / recipe.steps))
        loss = _loss(weights, train[rows.to(device)], recipe.k, idle) / variance
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            weights["decoder"] /= weights["decoder"].norm(dim=1, keepdim=True)
    sae = _as_arrays(weights, recipe.k)
    return sae, _explained(sae, states[-held:])


def _first_weights(
    recipe: SaeRecipe, train: "Tensor", generator: "torch.Generator"
) -> dict[str, "Tensor"]:
    import torch

    decoder = torch.randn(recipe.n_features, train.shape[1], generator=generator)
    decoder = (decoder / decoder.norm(dim=1, keepdim=True)).to(train.device)
    weights = {
        "encoder": decoder.clone(),
        "bias": torch.zeros(recipe.n_features, device=train.device),
        "decoder": decoder,
        "b_dec": train.mean(dim=0),
    }
    return {name: tensor.requires_grad_() for name, tensor in weights.items()}


def _loss(weights: dict[str, "Tensor"], batch: "Tensor", k: int, idle: "Tensor") -> "Tensor":
    import torch

    latents = ((batch - weights["b_dec"]) @ weights["encoder"].T + weights["bias"]).relu()
    values, places = latents.topk(k, dim=1)
    left = batch - _decoded(weights["decoder"], values, places) - weights["b_dec"]
    loss = left.pow(2).sum(dim=1).mean()
    with torch.no_grad():
        idle += 1
        idle[places[values > 0]] = 0
        dead = idle > _DEAD_STEPS
    if int(dead.sum()) >= _AUX_LATENTS // 2:
        count = min(_AUX_LATENTS, int(dead.sum()))
        more, where = latents.masked_fill(~dead, -1.0).topk(count, dim=1)
        missed = left.detach() - _decoded(weights["decoder"], more.clamp(min=0), where)
        loss = loss + _AUX_SHARE * missed.pow(2).sum(dim=1).mean()
    return loss


def _decoded(decoder: "Tensor", values: "Tensor", places: "Tensor") -> "Tensor":
    # Dense, though most is zeros: at these sizes twice as fast as the gradient of a sparse sum.
    return values.new_zeros(len(values), len(decoder)).scatter(1, places, values) @ decoder


def _as_arrays(weights: dict[str, "Tensor"], k: int) -> Sae:
    rows: dict[str, Any] = {n: t.detach().cpu().numpy() for n, t in weights.items()}
    return Sae(rows["encoder"], rows["bias"], rows["decoder"], rows["b_dec"], k)


def encode(sae: Sae, states: Float32) -> tuple[np.ndarray[Any, Any], Float32]:
    """Return the k strongest features (tokens, k) int32 and their values float32, largest first.

    Latents of so many tokens at a time are held as take 128 MB. Raises BadActivations when the
    states are of another width than the autoencoder's.
    """
    if states.shape[1] != len(sae.b_dec):
        raise BadActivations(
            f"The model's states have {states.shape[1]} numbers, the autoencoder takes "
            f"{len(sae.b_dec)}: it belongs to another model. Set model or sae.path."
        )
    at_once = max(1, _LATENTS_AT_ONCE // sae.n_features)
    pieces = [_strongest(sae, states[n : n + at_once]) for n in range(0, len(states), at_once)]
    features, values = zip(*pieces or [_strongest(sae, states)], strict=True)
    return np.concatenate(features), np.concatenate(values)


def _strongest(sae: Sae, states: Float32) -> tuple[np.ndarray[Any, Any], Float32]:
    import torch

    with torch.inference_mode():
        rows, encoder = torch.from_numpy(states - sae.b_dec), torch.from_numpy(sae.encoder)
        latents = (rows @ encoder.T + torch.from_numpy(sae.bias)).relu()
        values, places = latents.topk(sae.k, dim=1)
    return places.to(torch.int32).numpy(), values.numpy()


def _explained(sae: Sae, states: Float32) -> float:
    features, values = encode(sae, states)
    left = 0.0
    for start in range(0, len(states), _DECODED_AT_ONCE):
        rows = slice(start, start + _DECODED_AT_ONCE)
        decoded = np.einsum("tk,tkd->td", values[rows], sae.decoder[features[rows]]) + sae.b_dec
        left += float(np.square(states[rows] - decoded, dtype=np.float64).sum())
    return float(1 - left / np.square(states - states.mean(axis=0), dtype=np.float64).sum())
