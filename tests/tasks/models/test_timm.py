import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from tasks.models import timm as adapter
from tasks.models.identity import WeightsDiffer, WeightsMissing, WeightsUnreadable, file_sha256
from tasks.models.load import load_encoder, resolve
from tasks.models.timm_files import architectures, find_files
from tasks.models.weights import list_models

DINO = "vit_small_patch14_dinov2"
TAGGED = f"{DINO}.lvd142m"


def spec_of(name: str, weights: str = "default", **fields: Any) -> ModelSpec:
    return ModelSpec(**{"family": "timm", "name": name, "weights": weights, "precision": "fp32"}
                     | fields)  # fmt: skip


def photo(width_px: int = 70, height_px: int = 50) -> Image.Image:
    drawn = np.random.default_rng(5).integers(0, 256, (height_px, width_px, 3), np.uint8)
    return Image.fromarray(drawn)


def loaded(spec: ModelSpec, root: Path) -> Any:
    return load_encoder(resolve(spec, Runtime(models=root)), Runtime(models=root, device="cpu"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A models root with one fetched model, its classifier among the weights, and that model."""
    import timm
    import torch
    from timm.models import save_for_hf

    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(4)
    model = timm.create_model("test_vit", pretrained=False, num_classes=7).eval()
    save_for_hf(model, str(root / "own"), safe_serialization=True)
    return root, model


def test_the_architectures_read_from_the_sources_are_those_of_the_library() -> None:
    import timm

    assert sorted(architectures()) == sorted(timm.list_models())


def test_identifying_imports_neither_timm_nor_torch(models_root: Path) -> None:
    asked = (
        "import sys; from pathlib import Path; from conf.models import ModelSpec; "
        "from conf.runtime import Runtime; from tasks.models.load import resolve; "
        f"spec = ModelSpec(family='timm', name='{TAGGED}', weights='random:0', precision='fp32'); "
        "print(resolve(spec, Runtime()).library, {'timm', 'torch'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("timm==")
    assert told.stdout.rstrip().endswith("set()")


def test_features_and_tokens_are_those_of_timm(saved: tuple[Path, Any]) -> None:
    import torch

    data: Any = importlib.import_module("timm.data")
    root, model = saved
    ours = loaded(spec_of("test_vit", "local-dir:own"), root)
    transform = data.create_transform(**data.resolve_model_data_config(model), is_training=False)
    pixels = ours.preprocess(photo())
    np.testing.assert_array_equal(pixels, transform(photo()).numpy())
    with torch.no_grad():
        features = model.forward_features(transform(photo())[None])
        pooled = model.forward_head(features, pre_logits=True)
        named = model(transform(photo())[None])
    encoded = ours.encode_images(pixels[None], tokens=True)
    unit = torch.nn.functional.normalize(pooled, dim=-1).numpy()
    np.testing.assert_allclose(encoded.pooled, unit, atol=1e-6)
    np.testing.assert_allclose(encoded.tokens, features[:, 1:].numpy(), atol=1e-5)
    classified = model.head(pooled).detach()
    assert torch.allclose(named, classified, atol=1e-5), "the feature is what the classifier takes"
    assert (ours.token_count, ours.token_dim, ours.dim) == (100, 64, 64)


def test_dinov2_has_its_own_pixels_and_tokens() -> None:
    ours = loaded(spec_of(TAGGED, "random:0"), Path("nowhere"))
    assert (ours.dim, ours.token_count, ours.token_dim) == (384, 37 * 37, 384)
    white = ours.preprocess(Image.new("RGB", (20, 20), (255, 255, 255)))
    assert white.shape == (3, 518, 518)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(white[:, 0, 0], expected, rtol=1e-6)


def test_a_tag_that_timm_does_not_have_is_told() -> None:
    with pytest.raises(WeightsUnreadable, match=r"build the model of name = 'test_vit\.no_tag'"):
        loaded(spec_of("test_vit.no_tag", "random:0"), Path("nowhere"))


def test_a_convolutional_model_has_features_and_refuses_tokens() -> None:
    ours = loaded(spec_of("test_efficientnet", "random:1"), Path("nowhere"))
    pixels = ours.preprocess(photo())[None]
    assert ours.encode_images(pixels).pooled.shape == (1, ours.dim)
    assert ours.token_count == 0
    with pytest.raises(RecipeError, match=r"which is no vision transformer\. Leave them out"):
        ours.encode_images(pixels, tokens=True)


def test_texts_are_refused_with_what_takes_them(models_root: Path) -> None:
    ours = loaded(spec_of("local-dir:dino", "random:3"), models_root)
    with pytest.raises(RecipeError) as caught:
        ours.encode_texts(["a cell"])
    assert str(caught.value).startswith(
        "Texts were asked of timm local-dir:dino (random:3), which knows images only."
    )
    assert 'family = "open_clip"' in str(caught.value)


def test_seeds_draw_other_weights_and_the_same_again(models_root: Path) -> None:
    same, again, other = (
        adapter.load(
            resolve(spec_of("local-dir:dino", weights), Runtime(models=models_root)),
            models_root,
            "cpu",
        ).fingerprint
        for weights in ("random:3", "random:3", "random:4")
    )
    assert same == again != other


# What decides the key


def test_the_sha256_is_of_the_weights_and_another_is_refused(saved: tuple[Path, Any]) -> None:
    root, _ = saved
    found = resolve(spec_of("test_vit", "local-dir:own"), Runtime(models=root))
    assert found.sha256 == file_sha256(root / "own" / "model.safetensors")
    assert found.preprocessing.startswith("config:")
    with pytest.raises(WeightsDiffer, match="pins sha256 0000"):
        resolve(spec_of("test_vit", "local-dir:own", sha256="0" * 64), Runtime(models=root))


def test_another_configuration_is_another_model(models_root: Path, tmp_path: Path) -> None:
    said = json.loads((models_root / "dino" / "config.json").read_text())
    said["pretrained_cfg"]["crop_pct"] = 1.0
    (tmp_path / "dino").mkdir()
    (tmp_path / "dino" / "config.json").write_text(json.dumps(said))
    first, second = (
        resolve(spec_of("local-dir:dino", "random:3"), Runtime(models=root))
        for root in (models_root, tmp_path)
    )
    assert first != second
    with pytest.raises(RecipeError, match='preprocessing = "native" takes what is there'):
        resolve(first, Runtime(models=tmp_path))


# What is refused


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=f"no architecture 'vit_small_patch14_dino'.*'{DINO}'"):
        find_files(spec_of("vit_small_patch14_dino", "random:0"), Path("nowhere"))


def test_a_name_without_weights_says_how_to_name_them() -> None:
    with pytest.raises(RecipeError, match=rf"which weights\? .*name = \"{TAGGED}\""):
        find_files(spec_of(DINO), Path("nowhere"))


def test_missing_weights_say_where_they_go_and_how_they_come(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing) as caught:
        find_files(spec_of(TAGGED), tmp_path)
    text = str(caught.value)
    assert str(tmp_path / f"timm--{TAGGED}" / "model.safetensors") in text
    assert text.endswith(f"`featuremill models fetch hf-hub:timm/{TAGGED}`.")


def test_a_directory_of_another_architecture_is_refused(saved: tuple[Path, Any]) -> None:
    with pytest.raises(RecipeError, match=r"asks for timm 'test_vit2', but .* is of 'test_vit'"):
        find_files(spec_of("test_vit2", "local-dir:own"), saved[0])


@pytest.mark.parametrize("place", ["../own", "/etc", ""])
def test_a_place_outside_the_models_root_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(RecipeError, match="does not name a directory under the models root"):
        find_files(spec_of("test_vit", f"local-dir:{place}"), tmp_path)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{", "is not JSON"),
        ("[]", "names no architecture"),
        ('{"model_type": "dinov2"}', "What transformers saved is another format"),
        ('{"architecture": "test_vit"}', "lacks input_size, mean, std in its pretrained_cfg"),
        (
            '{"architecture": "a", "pretrained_cfg": {"input_size": [3, 9, 9], "mean": [0]}}',
            "lacks std in its pretrained_cfg",
        ),
    ],
)
def test_a_configuration_that_is_none_is_told(tmp_path: Path, said: str, told: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text(said)
    with pytest.raises(WeightsUnreadable, match=told):
        find_files(spec_of("local-dir:own", "random:0"), tmp_path)


@pytest.mark.parametrize("spoil", ["torn", "fewer", "another"])
def test_weights_that_do_not_fit_are_refused(
    saved: tuple[Path, Any], tmp_path: Path, spoil: str
) -> None:
    from safetensors.torch import save_file

    root, model = saved
    state = model.state_dict()
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_bytes((root / "own" / "config.json").read_bytes())
    if spoil == "torn":
        whole = (root / "own" / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[:-100])
    elif spoil == "fewer":
        rest = {name: tensor for name, tensor in state.items() if name != "norm.weight"}
        save_file(rest, folder / "model.safetensors")
    else:
        spoilt = state | {"norm.weight": state["norm.weight"][:-1].contiguous()}
        save_file(spoilt, folder / "model.safetensors")
    with pytest.raises(WeightsUnreadable, match="does not load as this model"):
        loaded(spec_of("test_vit", "local-dir:own"), tmp_path)


def test_a_fetched_directory_is_listed_as_of_timm(saved: tuple[Path, Any]) -> None:
    rows = {row.name: row for row in list_models(saved[0])}
    row = rows["local-dir:own"]
    assert (row.family, row.present, row.remedy) == ("timm", True, "")
    assert row.path == saved[0] / "own" / "model.safetensors"


def test_another_commit_than_the_fetched_one_is_missing(saved: tuple[Path, Any]) -> None:
    with pytest.raises(WeightsMissing, match="which is of commit unknown"):
        find_files(spec_of("test_vit", "local-dir:own", revision="f" * 40), saved[0])
