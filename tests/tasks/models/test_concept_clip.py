"""ConceptCLIP's adapter on a real directory of remote code: tiny, random, the same interface."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from storage.encoders import HasTextTokens, logits_of, text_tokens, token_space
from tasks.models.concept_clip import CONSENT, code_sha256
from tasks.models.identity import WeightsMissing
from tasks.models.load import load_encoder, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, concept_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(concept_clip, folder / "JerrryNie--ConceptCLIP")
    return folder


def spec_of(**fields: Any) -> ModelSpec:
    given = {"family": "concept_clip", "name": "JerrryNie/ConceptCLIP", "precision": "fp32"}
    return ModelSpec(**(given | {"revision": COMMIT} | fields))


@pytest.fixture(scope="module")
def model(root: Path) -> Iterator[Any]:
    runtime = Runtime(models=root, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONSENT, f"someone/else@{COMMIT}, JerrryNie/ConceptCLIP@{COMMIT}")
        yield load_encoder(resolve(spec_of(), runtime), runtime)


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 40, 3), np.uint8))


def test_no_commit_no_code(root: Path) -> None:
    with pytest.raises(RecipeError, match="must pin the commit"):
        resolve(spec_of(revision=None), Runtime(models=root))
    with pytest.raises(RecipeError, match="no commit of 40 hex digits"):
        resolve(spec_of(revision="main"), Runtime(models=root))


def test_without_consent_to_that_very_commit_nothing_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(models=root, device="cpu", roots=(root,))
    spec = resolve(spec_of(precision="bf16"), runtime)
    monkeypatch.setenv(CONSENT, f"JerrryNie/ConceptCLIP@{'f' * 40}")
    with pytest.raises(RecipeError, match=f"{CONSENT}=JerrryNie/ConceptCLIP@{COMMIT}"):
        load_encoder(spec, runtime)


def test_code_of_another_repository_never_runs(
    tmp_path: Path, concept_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(concept_clip, tmp_path / "mine")
    config = tmp_path / "mine" / "config.json"
    told = json.loads(config.read_text())
    told["auto_map"]["AutoModel"] = "someone/else--modeling_conceptclip.ConceptCLIP"
    config.write_text(json.dumps(told))
    own = code_sha256(tmp_path / "mine")
    monkeypatch.setenv(CONSENT, f"local-dir:mine@{own}")
    runtime = Runtime(models=tmp_path, device="cpu")
    spec = resolve(spec_of(weights="local-dir:mine", revision=own), runtime)
    with pytest.raises(RecipeError, match=r"runs code of another repository \(someone/else--"):
        load_encoder(spec, runtime)


def test_missing_weights_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="models fetch hf-hub:JerrryNie/ConceptCLIP --revisi"):
        resolve(spec_of(), Runtime(models=tmp_path))


def test_changed_code_is_another_model(tmp_path: Path, concept_clip: Path) -> None:
    folder = tmp_path / "JerrryNie--ConceptCLIP"
    shutil.copytree(concept_clip, folder)
    runtime, spec = Runtime(models=tmp_path), spec_of()
    before = resolve(spec, runtime)
    with (folder / "modeling_conceptclip.py").open("a") as file:
        file.write("\n# changed\n")
    assert resolve(spec, runtime).preprocessing != before.preprocessing
    with pytest.raises(RecipeError, match="asks for code and configuration"):
        resolve(before, runtime)


@pytest.mark.parametrize("weights", ["local-dir:mine", "default"])
def test_a_directory_of_ones_own_is_pinned_by_its_code_and_consented_to_by_name(
    tmp_path: Path, concept_clip: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    """Consent to a commit is none to whatever lies in a directory, be it of the same name."""
    is_local = weights != "default"
    folder = tmp_path / ("mine" if is_local else "JerrryNie--ConceptCLIP")
    shutil.copytree(concept_clip, folder)
    if not is_local:
        (folder / "featuremill-origin.json").unlink()
    runtime, own = Runtime(models=tmp_path, device="cpu"), code_sha256(folder)
    monkeypatch.setenv(CONSENT, f"JerrryNie/ConceptCLIP@{COMMIT}")
    with pytest.raises(RecipeError, match=f"pins {COMMIT}, the code has sha256 {own}"):
        resolve(spec_of(weights=weights), runtime)
    spec = resolve(spec_of(weights=weights, revision=own), runtime)
    named = weights if is_local else "JerrryNie/ConceptCLIP"
    with pytest.raises(RecipeError, match=f"{CONSENT}={named}@{own}"):
        load_encoder(spec, runtime)
    (folder / "nested").mkdir()
    (folder / "nested" / "more.py").write_text("")
    monkeypatch.setenv(CONSENT, f"{named}@{own}")
    with pytest.raises(RecipeError, match=f"pins {own}, the code has sha256"):
        load_encoder(spec, runtime)
    (folder / "nested" / "more.py").unlink()
    assert load_encoder(spec, runtime).dim == 16


def test_a_directory_outside_the_models_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="leads out of the models root"):
        resolve(spec_of(weights="local-dir:../x"), Runtime(models=tmp_path))


def test_a_fetched_commit_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, concept_clip: Path
) -> None:
    folder = tmp_path / "JerrryNie--ConceptCLIP"
    shutil.copytree(concept_clip, folder)
    (folder / "featuremill-origin.json").write_text(json.dumps({"revision": "a" * 40}))
    with pytest.raises(RecipeError, match=f"has {'a' * 40}"):
        resolve(spec_of(), Runtime(models=tmp_path))


class TestTheEncoder:
    def test_logit_parameters_are_those_of_the_output(self, model: Any) -> None:
        assert logits_of(model) == pytest.approx(
            {
                "logit_scale": np.exp(4.57),
                "logit_bias": -10,
                "concept_logit_scale": np.exp(3),
                "concept_logit_bias": -9,
            },
            rel=1e-6,
        )
        assert model.activation == "softmax"

    def test_pixels_are_squashed_and_scaled_as_the_repository_says(self, model: Any) -> None:
        pixels = model.preprocess(picture())
        small = picture().resize((32, 32), Image.Resampling.BICUBIC)
        expected = (np.asarray(small, np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.5
        assert float(np.abs(pixels - expected).mean()) < 5e-3  # torchvision rounds otherwise

    def test_patch_tokens_go_through_image_proj(self, model: Any) -> None:
        import torch

        pixels = model.preprocess(picture())[None]
        encoded = model.encode_images(pixels, tokens=True)
        with torch.no_grad():
            pooled, patches = model._model.encode_image(torch.from_numpy(pixels), normalize=True)
            expected = model._model.image_proj(patches)
        assert (model.token_count, model.token_dim, model.dim) == (16, 16, 16)
        np.testing.assert_allclose(encoded.tokens, expected.numpy(), atol=1e-6)
        np.testing.assert_allclose(encoded.pooled, pooled.numpy(), atol=1e-6)

    def test_text_tokens_go_through_text_proj_padded_to_the_context(self, model: Any) -> None:
        found = text_tokens(model, ["a photo of a cell"])
        assert isinstance(model, HasTextTokens)
        assert found is not None
        assert found.tokens.shape == (1, 16, 16)
        np.testing.assert_array_equal(found.tokens[0, 5], found.tokens[0, 15])  # both are padding

    def test_the_span_is_where_the_word_stands(self, model: Any) -> None:
        text = "a photo of a cell with segmented nucleus"
        found = model.encode_text_tokens([text, text], ["segmented nucleus", "not there"])
        assert found.spans.tolist() == [[6, 8], [0, 8]]

    def test_texts_are_of_unit_norm_and_none_give_no_rows(self, model: Any) -> None:
        features = model.encode_texts(["a cell", "round nucleus " * 40])
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
        assert model.encode_texts([]).shape == (0, 16)

    def test_its_patches_are_in_the_space_of_texts(self, model: Any) -> None:
        assert token_space(model).name == "text"
