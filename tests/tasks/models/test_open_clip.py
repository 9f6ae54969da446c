import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models.identity import WeightsDiffer, WeightsMissing, WeightsUnreadable
from tasks.models.load import load_encoder, resolve


def noise(width_px: int = 90, height_px: int = 70) -> Image.Image:
    levels = np.random.default_rng(3).integers(0, 256, (height_px, width_px, 3), np.uint8)
    return Image.fromarray(levels)


def loaded(runtime: Runtime, **fields: Any) -> Any:
    spec = ModelSpec(**({"family": "open_clip", "precision": "fp32"} | fields))
    return load_encoder(resolve(spec, runtime), runtime)


@pytest.fixture(scope="module")
def saved(models_root: Path, encoder: Callable[..., Any]) -> Path:
    """Directories with the tiny encoder's weights, as safetensors and as a pickle of tensors."""
    import torch
    from safetensors.torch import save_file

    weights = encoder("clip")._model.state_dict()
    for name in ("safe", "pickled"):
        (models_root / name).mkdir()
        shutil.copy(models_root / "clip" / "open_clip_config.json", models_root / name)
    save_file(weights, models_root / "safe" / "open_clip_model.safetensors")
    torch.save(weights, models_root / "pickled" / "open_clip_pytorch_model.bin")
    return models_root


@pytest.fixture(scope="module")
def model(runtime: Runtime) -> Any:
    return loaded(runtime, name="ViT-B-32", weights="random:0")


class TestTheRealArchitecture:
    """ViT-B-32 with random weights; loading it asserts that the token path pools alike."""

    def test_it_has_the_sizes_of_the_paper(self, model: Any) -> None:
        assert (model.dim, model.token_count, model.token_dim) == (512, 49, 768)
        assert model.activation == "softmax"
        assert model.logit_scale == pytest.approx(1 / 0.07, rel=1e-6)

    def test_pooled_features_of_the_token_path_equal_encode_image(self, model: Any) -> None:
        pixels = model.preprocess(noise())[None]
        both = model.encode_images(pixels, tokens=True)
        np.testing.assert_allclose(both.pooled, model.encode_images(pixels).pooled, atol=1e-6)

    def test_tokens_are_what_the_last_norm_gives(self, model: Any) -> None:
        import torch

        pixels = model.preprocess(noise())[None]
        visual = model._model.visual
        visual.output_tokens = True
        with torch.no_grad():
            _, expected = visual(torch.from_numpy(pixels))
        visual.output_tokens = False
        tokens = model.encode_images(pixels, tokens=True).tokens
        np.testing.assert_allclose(tokens, expected.numpy(), atol=1e-5)


class TestATowerOfTimm:
    def test_it_has_a_bias_and_scores_each_label_by_itself(
        self, encoder: Callable[..., Any]
    ) -> None:
        model = encoder("siglip")
        assert (model.logit_bias, model.activation) == (-10.0, "sigmoid")
        assert (model.dim, model.token_count, model.token_dim) == (96, 100, 96)

    def test_its_own_tokenizer_is_used_and_cleans_the_text(
        self, encoder: Callable[..., Any]
    ) -> None:
        model = encoder("siglip")
        plain, loud, other = model.encode_texts(["a photo of a cat", "A photo, of a CAT!", "dog"])
        np.testing.assert_array_equal(plain, loud)
        assert not np.array_equal(plain, other)

    def test_its_library_names_timm_too(
        self, make_spec: Callable[..., ModelSpec], runtime: Runtime
    ) -> None:
        assert "timm==" in str(resolve(make_spec("siglip"), runtime).library)
        assert "timm==" not in str(resolve(make_spec("clip"), runtime).library)


class TestPreprocessing:
    @pytest.mark.parametrize("name", ["clip", "siglip"])
    @pytest.mark.parametrize("size_px", [(90, 70), (40, 300), (224, 224), (1000, 130)])
    def test_it_is_the_models_own_transform(
        self, encoder: Callable[..., Any], name: str, size_px: tuple[int, int]
    ) -> None:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        model = encoder(name)
        own = image_transform_v2(PreprocessCfg(**model._model.visual.preprocess_cfg), False)
        image = noise(*size_px)
        np.testing.assert_allclose(model.preprocess(image), own(image).numpy(), atol=1e-6)

    def test_of_a_slender_image_the_middle_is_kept(self, encoder: Callable[..., Any]) -> None:
        image = Image.new("RGB", (4, 4000), (255, 0, 0))
        image.paste((0, 0, 255), (0, 1990, 4, 2010))
        pixels = encoder("clip").preprocess(image)
        red, blue = pixels[0].mean(), pixels[2].mean()
        assert blue > 1.5 > -1.5 > red


class TestWeights:
    def test_saved_weights_give_the_features_of_those_they_were_saved_from(
        self, saved: Path, runtime: Runtime, encoder: Callable[..., Any]
    ) -> None:
        pixels = encoder("clip").preprocess(noise())[None]
        expected = encoder("clip").encode_images(pixels).pooled
        for name in ("safe", "pickled"):
            model = loaded(runtime, weights=f"local-dir:{name}")
            np.testing.assert_array_equal(model.encode_images(pixels).pooled, expected)
            assert model.fingerprint == encoder("clip").fingerprint

    def test_a_changed_file_is_refused_with_both_checksums(
        self, saved: Path, runtime: Runtime
    ) -> None:
        spec = resolve(
            ModelSpec(family="open_clip", weights="local-dir:safe", precision="bf16"), runtime
        )
        folder = shutil.copytree(saved / "safe", saved / "changed")
        with (folder / "open_clip_model.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x7f")
        with pytest.raises(
            WeightsDiffer, match=f"pins sha256 {spec.sha256} .* have [0-9a-f]{{64}}"
        ):
            load_encoder(spec.model_copy(update={"weights": "local-dir:changed"}), runtime)

    def test_a_pickle_that_would_run_code_is_not_run(
        self, saved: Path, runtime: Runtime, tmp_path: Path
    ) -> None:
        import torch

        class Evil:
            def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
                return (tmp_path.joinpath("ran").touch, ())

        folder = shutil.copytree(saved / "pickled", saved / "evil")
        torch.save({"weights": Evil()}, folder / "open_clip_pytorch_model.bin")
        with pytest.raises(
            WeightsUnreadable, match=r"model: it holds more than tensors\. .* saved as safe"
        ):
            loaded(runtime, weights="local-dir:evil")
        assert not tmp_path.joinpath("ran").exists()

    def test_weights_of_another_architecture_are_refused(
        self, saved: Path, runtime: Runtime
    ) -> None:
        folder = shutil.copytree(saved / "safe", saved / "other")
        shutil.copy(saved / "siglip" / "open_clip_config.json", folder)
        shutil.copy(saved / "siglip" / "tokenizer.json", folder)
        shutil.copy(saved / "siglip" / "tokenizer_config.json", folder)
        with pytest.raises(WeightsUnreadable, match="does not load as this model"):
            loaded(runtime, weights="local-dir:other")

    def test_a_configuration_that_asks_to_run_code_is_refused(
        self, models_root: Path, runtime: Runtime
    ) -> None:
        folder = shutil.copytree(models_root / "siglip", models_root / "remote")
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["text_cfg"]["tokenizer_kwargs"]["trust_remote_code"] = True
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(WeightsUnreadable, match="trust_remote_code"):
            loaded(runtime, name="local-dir:remote", weights="random:0")

    def test_a_tokenizer_that_is_only_on_the_hub_is_missing(
        self, models_root: Path, runtime: Runtime
    ) -> None:
        folder = shutil.copytree(models_root / "siglip", models_root / "tokenless")
        (folder / "tokenizer_config.json").unlink()
        with pytest.raises(WeightsMissing, match=r"tokenizer or text tower .* models fetch"):
            loaded(runtime, name="local-dir:tokenless", weights="random:0")

    def test_another_seed_gives_another_model(
        self, runtime: Runtime, encoder: Callable[..., Any]
    ) -> None:
        other = loaded(runtime, name="local-dir:clip", weights="random:9")
        assert other.fingerprint != encoder("clip").fingerprint

    def test_a_seed_that_is_no_number_is_refused(self, runtime: Runtime) -> None:
        with pytest.raises(RecipeError, match=r"'random:x' names no random weights"):
            loaded(runtime, name="local-dir:clip", weights="random:x")


def test_another_configuration_is_another_model(
    make_spec: Callable[..., ModelSpec], runtime: Runtime, models_root: Path
) -> None:
    folder = shutil.copytree(models_root / "clip", models_root / "edited")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"] = {"mean": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    edited = resolve(make_spec("clip").model_copy(update={"name": "local-dir:edited"}), runtime)
    pinned = resolve(make_spec("clip"), runtime).preprocessing
    assert edited.preprocessing.startswith("config:")
    assert edited.preprocessing != pinned
    with pytest.raises(RecipeError, match=f"asks for preprocessing '{pinned}' .* has 'config:"):
        resolve(edited.model_copy(update={"preprocessing": pinned}), runtime)


def test_lower_precision_gives_nearly_the_same_features(encoder: Callable[..., Any]) -> None:
    for name in ("clip", "siglip"):
        pixels = encoder(name).preprocess(noise())[None]
        exact = encoder(name).encode_images(pixels, tokens=True)
        lower = encoder(name, precision="bf16").encode_images(pixels, tokens=True)
        assert (exact.pooled * lower.pooled).sum() > 0.999
        np.testing.assert_allclose(lower.tokens, exact.tokens, atol=0.1)
        texts = [encoder(name, precision=one).encode_texts(["a cat"]) for one in ("fp32", "bf16")]
        assert (texts[0] * texts[1]).sum() > 0.999


def test_half_precision_is_refused_on_the_cpu(
    runtime: Runtime, make_spec: Callable[..., ModelSpec]
) -> None:
    spec = resolve(make_spec("clip", precision="fp16"), runtime)
    with pytest.raises(RecipeError, match="'fp16' was asked of open_clip on cpu"):
        load_encoder(spec, runtime)


def test_loading_leaves_the_logging_and_the_random_numbers_alone(runtime: Runtime) -> None:
    import torch

    torch.manual_seed(5)
    handlers, expected = list(logging.getLogger().handlers), torch.rand(1)
    torch.manual_seed(5)
    loaded(runtime, name="local-dir:clip", weights="random:11")
    assert torch.rand(1) == expected
    assert logging.getLogger().handlers == handlers
