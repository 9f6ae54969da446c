"""Autoencoders in the layouts of sparsify and SAELens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from storage.tokens.errors import BadActivations
from storage.tokens.sae import read_sae, read_settings

Array = np.ndarray[Any, Any]


@pytest.fixture
def weights() -> dict[str, Array]:
    """Return encoder (7, 3), bias, decoder and b_dec."""
    random = np.random.default_rng(0)
    shapes = {"encoder": (7, 3), "bias": (7,), "decoder": (7, 3), "b_dec": (3,)}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def sparsify(folder: Path, w: dict[str, Array], **config: Any) -> Path:
    names = {"encoder": "encoder.weight", "bias": "encoder.bias", "decoder": "W_dec"}
    save_file({names.get(n, n): rows for n, rows in w.items()}, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"k": 2, "num_latents": 7, **config}))
    return folder


def lens(folder: Path, w: dict[str, Array], **config: Any) -> Path:
    tensors = {"W_enc": np.ascontiguousarray(w["encoder"].T), "b_enc": w["bias"],
               "W_dec": w["decoder"], "b_dec": w["b_dec"]}  # fmt: skip
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"architecture": "topk", "k": 2, **config}))
    return folder


@pytest.mark.parametrize("write", [sparsify, lens])
def test_both_layouts_are_the_same_autoencoder(
    tmp_path: Path, weights: dict[str, Array], write: Any
) -> None:
    sae = read_sae(write(tmp_path, weights))
    assert (sae.k, sae.n_features) == (2, 7)
    for name, rows in weights.items():
        np.testing.assert_array_equal(getattr(sae, name), rows)


def test_a_bias_that_is_not_taken_off_the_input_is_put_back(
    tmp_path: Path, weights: dict[str, Array]
) -> None:
    sae = read_sae(lens(tmp_path, weights, apply_b_dec_to_input=False))
    x = np.ones(3, np.float32)
    ours = (x - sae.b_dec) @ sae.encoder.T + sae.bias
    np.testing.assert_allclose(ours, x @ weights["encoder"].T + weights["bias"], rtol=1e-5)


def test_activations_that_are_rescaled_by_decoder_norms_are(
    tmp_path: Path, weights: dict[str, Array]
) -> None:
    sae = read_sae(lens(tmp_path, weights, rescale_acts_by_decoder_norm=True))
    x = np.ones(3, np.float32)
    norms = np.linalg.norm(weights["decoder"], axis=1)
    plain = (x - weights["b_dec"]) @ weights["encoder"].T + weights["bias"]
    np.testing.assert_allclose((x - sae.b_dec) @ sae.encoder.T + sae.bias, plain * norms, rtol=1e-4)
    np.testing.assert_allclose((plain * norms) @ sae.decoder, plain @ weights["decoder"], rtol=1e-4)


def test_the_older_names_of_saelens_are_known(tmp_path: Path, weights: dict[str, Array]) -> None:
    older = {"architecture": "standard", "k": None, "activation_fn_str": "topk"}
    sae = read_sae(lens(tmp_path, weights, **older, activation_fn_kwargs={"k": 3}))
    assert sae.k == 3


@pytest.mark.parametrize(
    ("write", "config", "told"),
    [
        (sparsify, {"activation": "groupmax"}, "says activation 'groupmax', not 'topk'"),
        (sparsify, {"transcode": True}, "sets transcode: only plain TopK"),
        (lens, {"architecture": "gated"}, "says architecture 'gated'; only TopK"),
        (lens, {"normalize_activations": "layer_norm"}, "normalize_activations = 'layer_norm'"),
    ],
)
def test_other_autoencoders_are_refused(
    tmp_path: Path, weights: dict[str, Array], write: Any, config: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadActivations, match=told):
        read_sae(write(tmp_path, weights, **config))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, weights: dict[str, Array]) -> None:
    with pytest.raises(BadActivations, match="do not fit"):
        read_sae(sparsify(tmp_path, weights | {"bias": np.zeros(5, np.float32)}))


@pytest.mark.parametrize("k", [0, 8])
def test_a_k_that_cannot_be_is_refused(tmp_path: Path, weights: dict[str, Array], k: int) -> None:
    with pytest.raises(BadActivations, match=f"says k = {k}, of 7 features"):
        read_sae(sparsify(tmp_path, weights, k=k))


def test_settings_that_are_no_json_are_told(tmp_path: Path, weights: dict[str, Array]) -> None:
    sparsify(tmp_path, weights)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(BadActivations, match=r"cfg\.json is no JSON"):
        read_sae(tmp_path)


def test_a_directory_without_one_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(BadActivations, match=r"holds no autoencoder: cfg\.json with"):
        read_sae(tmp_path)


def test_settings_are_what_the_config_means_not_how_it_is_written(
    tmp_path: Path, weights: dict[str, Array]
) -> None:
    usual = {"apply_b_dec_to_input": True, "rescale_acts_by_decoder_norm": False}
    folder = lens(tmp_path, weights)
    assert read_settings(folder) == usual
    lens(tmp_path, weights, apply_b_dec_to_input=True, hook_name="said otherwise")
    assert read_settings(folder) == usual
    lens(tmp_path, weights, rescale_acts_by_decoder_norm=True)
    assert read_settings(folder) == {**usual, "rescale_acts_by_decoder_norm": True}


def test_sparsifys_settings_are_the_usual_ones(tmp_path: Path, weights: dict[str, Array]) -> None:
    folder = sparsify(tmp_path, weights, rescale_acts_by_decoder_norm=True)  # not a word of its own
    assert read_settings(folder) == {
        "apply_b_dec_to_input": True,
        "rescale_acts_by_decoder_norm": False,
    }


def test_an_autoencoder_in_several_files_is_refused_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text("{}")
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").touch()
    told = r"in several files \(model-00001-of-00002.safetensors, .*\); one is read. Write their"
    with pytest.raises(BadActivations, match=told):
        read_sae(tmp_path)


def test_a_folder_of_layers_names_them(tmp_path: Path, weights: dict[str, Array]) -> None:
    (tmp_path / "layers.3").mkdir()
    sparsify(tmp_path / "layers.3", weights)
    with pytest.raises(BadActivations, match=r"several layers: layers\.3\. Set sae\.path"):
        read_sae(tmp_path)


def test_a_config_that_is_no_object_is_refused(tmp_path: Path, weights: dict[str, Array]) -> None:
    sparsify(tmp_path, weights)
    (tmp_path / "cfg.json").write_text("[]")
    with pytest.raises(BadActivations, match="holds no JSON object"):
        read_sae(tmp_path)
