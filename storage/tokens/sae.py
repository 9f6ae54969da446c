"""Autoencoders on disk: a TopK encoder in the layouts of EleutherAI/sparsify and SAELens."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from storage.parts import PartWriter
from storage.steps import step
from storage.store import Artifact, ArtifactStore
from storage.tokens.errors import BadActivations

Array = np.ndarray[Any, Any]

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"
_LENS_WEIGHTS = "sae_weights.safetensors"
_SETTINGS = {"apply_b_dec_to_input": True, "rescale_acts_by_decoder_norm": False}


@dataclass(frozen=True, eq=False)
class Sae:
    """A TopK autoencoder: the k largest of max(0, (x - b_dec) encoder^T + bias) are active."""

    encoder: Array
    """(n_features, d) float32."""
    bias: Array
    """(n_features,) float32."""
    decoder: Array
    """(n_features, d) float32."""
    b_dec: Array
    """(d,) float32: taken from the input before it is encoded, and added to what is decoded."""
    k: int

    @property
    def n_features(self) -> int:
        """How many latents it has."""
        return len(self.bias)


def weights_file(folder: Path) -> Path:
    """Return the file of weights in `folder`; raises BadActivations when there is none."""
    for name in (WEIGHTS, _LENS_WEIGHTS):
        if (folder / name).is_file() and (folder / CONFIG).is_file():
            return folder / name
    if shards := sorted(path.name for path in folder.glob("*-of-*.safetensors")):
        raise BadActivations(
            f"{folder}: the autoencoder is in several files ({', '.join(shards)}); one is read. "
            f"Write their tensors to one {WEIGHTS} with safetensors' load_file and save_file."
        )
    if inside := sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}")):
        raise BadActivations(
            f"{folder} holds autoencoders of several layers: {', '.join(inside)}. Set sae.path to "
            "one of them."
        )
    raise BadActivations(
        f"{folder} holds no autoencoder: {CONFIG} with {WEIGHTS} (EleutherAI/sparsify) or "
        f"{_LENS_WEIGHTS} (SAELens) is needed. Set sae.path to the directory that has them."
    )


def read_settings(folder: Path) -> dict[str, bool]:
    """Return what cfg.json says of how the weights are used, in SAELens's words, all of it said:
    sparsify's autoencoders are always used as its defaults are. k is apart."""
    is_lens = weights_file(folder).name == _LENS_WEIGHTS
    config = _config(folder) if is_lens else {}
    return {name: bool(config.get(name, usual)) for name, usual in _SETTINGS.items()}


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BadActivations(f"{folder / CONFIG} is no JSON: {problem}.") from problem
    if not isinstance(found, dict):
        raise BadActivations(f"{folder / CONFIG} holds no JSON object.")
    return found


def read_sae(folder: Path) -> Sae:
    """Return the autoencoder in `folder`; raises BadActivations for one that is not TopK."""
    path = weights_file(folder)
    try:
        config = _config(folder)
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _of_sparsify(tensors, config) if path.name == WEIGHTS else _of_lens(tensors, config)
    except KeyError as problem:
        raise BadActivations(
            f"{folder}: {problem} is missing in {path.name} or {CONFIG}."
        ) from None
    except SafetensorError as problem:
        raise BadActivations(f"{path} is no whole safetensors file: {problem}.") from problem


def _of_sparsify(tensors: dict[str, Array], config: dict[str, Any]) -> Sae:
    for unsupported in ("transcode", "skip_connection", "multi_topk"):
        if config.get(unsupported) and unsupported != "multi_topk":
            raise BadActivations(f"{CONFIG} sets {unsupported}: only plain TopK is encoded here.")
    if config.get("activation", "topk") != "topk":
        raise BadActivations(f"{CONFIG} says activation {config['activation']!r}, not 'topk'.")
    names = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
    return _sae(*(tensors[name] for name in names), k=config["k"])


def _of_lens(tensors: dict[str, Array], config: dict[str, Any]) -> Sae:
    named = config.get("architecture", "standard")
    k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
    if k is None or (named != "topk" and config.get("activation_fn_str") != "topk"):
        raise BadActivations(f"{CONFIG} says architecture {named!r}; only TopK is encoded here.")
    if config.get("normalize_activations") not in (None, "none"):
        raise BadActivations(
            f"{CONFIG} says normalize_activations = {config['normalize_activations']!r}; fold the "
            "norm into the weights first (SAELens does it: fold_activation_norm_scaling_factor)."
        )
    b_dec = tensors["b_dec"]
    encoder, bias = tensors["W_enc"].T, tensors["b_enc"]
    if not config.get("apply_b_dec_to_input", True):  # as if it were taken off, and put back
        bias = bias + encoder @ b_dec
    decoder = tensors["W_dec"]
    if config.get("rescale_acts_by_decoder_norm"):  # ranked, and given, by what they put back
        norms = np.linalg.norm(decoder, axis=1)
        encoder, bias = encoder * norms[:, None], bias * norms
        decoder = decoder / np.maximum(norms, np.finfo(np.float32).tiny)[:, None]
    return _sae(encoder, bias, decoder, b_dec, k=k)


def _sae(encoder: Array, bias: Array, decoder: Array, b_dec: Array, *, k: int) -> Sae:
    if encoder.shape != decoder.shape or encoder.shape != (len(bias), len(b_dec)):
        raise BadActivations(
            f"The autoencoder's weights do not fit: encoder {encoder.shape}, bias {bias.shape}, "
            f"decoder {decoder.shape}, b_dec {b_dec.shape}."
        )
    if not 1 <= int(k) <= len(bias):
        raise BadActivations(f"{CONFIG} says k = {k}, of {len(bias)} features.")
    first, second, third, last = (
        np.ascontiguousarray(rows, np.float32) for rows in (encoder, bias, decoder, b_dec)
    )
    return Sae(first, second, third, last, int(k))


def write_sae(writer: PartWriter, sae: Sae, facts: dict[str, Any]) -> None:
    """Write `sae` as sparsify does; `facts` go into cfg.json, too."""
    path = writer.folder / WEIGHTS
    names = {
        "encoder.weight": sae.encoder,
        "encoder.bias": sae.bias,
        "W_dec": sae.decoder,
        "b_dec": sae.b_dec,
    }
    with step("write", path):
        path.write_bytes(save(names))
    config = {"activation": "topk", "k": sae.k, "num_latents": sae.n_features,
              "d_in": len(sae.b_dec), "normalize_decoder": True} | facts  # fmt: skip
    with step("write", writer.folder / CONFIG):
        (writer.folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")


def open_sae(store: ArtifactStore, artifact: Artifact) -> Sae:
    """Return the autoencoder of an artifact; raises UnknownArtifact when it is not made yet."""
    found = list(store.path_of(artifact).glob(f"parts/*/{WEIGHTS}"))
    if not found:
        raise store.unknown(artifact.key)
    return read_sae(found[0].parent)
