"""The writing functions that take a model, on files of one's own."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from conf.errors import RecipeError
from conf.models import ModelSpec
from conf.runtime import Runtime
from storage.concepts import (
    ConceptFile,
    OtherModel,
    encode_and_store_image_features,
    fill_templates,
    init_file,
    store_prompt_features,
    validate_h5,
)
from storage.encoders import token_space
from tasks.concepts.heatmaps import concept_heatmap, picture_from
from tasks.models.concept_clip import code_sha256
from tasks.models.load import load_encoder, resolve

Split = list[tuple[Image.Image, int]]


@pytest.fixture(scope="module")
def model() -> Any:
    runtime = Runtime(device="cpu")
    return load_encoder(resolve(ModelSpec(family="toy", precision="fp32"), runtime), runtime)


@pytest.fixture(scope="module")
def splits() -> dict[str, Split]:
    drawn = np.random.default_rng(0)

    def images(count: int) -> Split:
        pixels = drawn.integers(0, 256, (count, 9, 9, 3), np.uint8)
        return [(Image.fromarray(one), row % 3) for row, one in enumerate(pixels)]

    return {"test": images(5), "odd": images(2), "train": images(11), "val": images(4)}


def new_file(path: Path, **given: Any) -> Path:
    init_file(path, **({"D": 32, "T_img": 16} | given)).close()
    return path


def rows_of(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: file[name][:].tolist() for name in file if name != "templates"}


def test_splits_come_in_the_order_train_val_test(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = new_file(tmp_path / "all.h5")
    assert encode_and_store_image_features(path, model, splits) == 22
    found = rows_of(path)
    assert found["split"] == [b"train"] * 11 + [b"val"] * 4 + [b"test"] * 5 + [b"odd"] * 2
    assert found["ids"] == list(range(22))
    assert found["labels"][:4] == [0, 1, 2, 0]
    validate_h5(path, tokens=True, show=False)


def test_a_store_with_tokens_says_how_they_compare_with_texts_and_is_mapped_without_a_model(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = new_file(tmp_path / "mapped.h5")
    encode_and_store_image_features(path, model, {"val": splits["val"]})
    store_prompt_features(path, model, {"concept_prompts_t01": ["a red cell", "a blue cell"]})
    with h5py.File(path) as file:
        assert file.attrs["token_space"] == token_space(model).name != "none"
    heatmap = concept_heatmap(ConceptFile(path), "0", "a red cell")
    assert heatmap.cosines.shape == (4, 4)


def test_none_or_several_labels_are_no_label(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    images = [image for image, _ in splits["val"]]
    labels = [None, np.array([1, 0, 1]), np.array([2]), 1]
    path = new_file(tmp_path / "labels.h5")
    encode_and_store_image_features(path, model, {"val": list(zip(images, labels, strict=True))})
    assert rows_of(path)["labels"] == [-1, -1, 2, 1]


def test_a_model_of_another_size_leaves_no_trace(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = new_file(tmp_path / "narrow.h5", D=8)
    with pytest.raises(RecipeError, match=r"features of 8 numbers, this model gives 32\. Make"):
        encode_and_store_image_features(path, model, splits)
    with h5py.File(path) as file:
        assert "model_fingerprint" not in file.attrs


def test_half_written_rows_are_told_of_before_anything_is_encoded(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = new_file(tmp_path / "torn.h5")
    with h5py.File(path, "r+") as file:
        file["image_features"].resize(3, axis=0)
    with pytest.raises(RecipeError, match="Open it by init_file"):
        encode_and_store_image_features(path, model, splits)


class _Interrupted(Exception):
    pass


class _Failing(list[Any]):
    """A split whose images end in the middle, as a killed run's do."""

    def __getitem__(self, index: Any) -> Any:
        if index == 7:
            raise _Interrupted
        return super().__getitem__(index)


def test_an_interrupted_call_goes_on_within_a_batch_and_gives_the_same_rows(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    whole = new_file(tmp_path / "whole.h5")
    encode_and_store_image_features(whole, model, splits, batch_size=4)
    path = new_file(tmp_path / "resumed.h5")
    broken = splits | {"train": _Failing(splits["train"])}
    with pytest.raises(_Interrupted):
        encode_and_store_image_features(path, model, broken, batch_size=3)
    with h5py.File(path) as file:
        assert json.loads(file.attrs["split_counts"]) == {"train": 6}
    assert encode_and_store_image_features(path, model, splits, batch_size=4) == 16
    assert rows_of(path) == rows_of(whole)
    assert encode_and_store_image_features(path, model, splits) == 0


def test_a_shorter_split_than_the_store_has_is_refused(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = new_file(tmp_path / "all.h5")
    encode_and_store_image_features(path, model, splits)
    with pytest.raises(RecipeError, match="has 11 images of a split of which 3 were given"):
        encode_and_store_image_features(path, model, {"train": splits["train"][:3]})


def test_features_of_another_model_are_refused_and_nothing_changes(
    model: Any, splits: dict[str, Split], tmp_path: Path
) -> None:
    path = new_file(tmp_path / "other.h5", fingerprint="a" * 64)
    before = path.read_bytes()
    with pytest.raises(OtherModel, match="their features do not compare"):
        encode_and_store_image_features(path, model, splits)
    with pytest.raises(OtherModel):
        store_prompt_features(path, model, {"concept_prompts_t01": ["a"]})
    assert path.read_bytes() == before


def test_prompts_are_written_with_the_models_parameters(model: Any, tmp_path: Path) -> None:
    path = new_file(tmp_path / "prompts.h5", metadata={"concept_texts": ["red", "blue"]})
    texts = fill_templates(["a {} cell", "cell with {}"], ["red", "blue"])
    assert store_prompt_features(path, model, texts) == [
        "concept_prompts_t01", "concept_prompts_t02",
    ]  # fmt: skip
    with h5py.File(path) as file:
        group = file["templates/concept_prompts_t02"]
        assert group["texts"].asstr()[:].tolist() == ["cell with red", "cell with blue"]
        assert (group.attrs["logit_scale"], group.attrs["T_txt"]) == (10.0, -1)
        assert file.attrs["logit_scale"] == 10.0
        assert "logit_bias" not in file.attrs
    validate_h5(path, show=False)


def test_the_tokens_of_conceptclip_are_written_with_the_place_of_the_word(
    concept_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, code = f"local-dir:{concept_clip.name}", code_sha256(concept_clip)
    monkeypatch.setenv("FEATUREMILL_TRUST_REMOTE_CODE", f"{weights}@{code}")
    runtime = Runtime(models=concept_clip.parent, device="cpu")
    spec = ModelSpec(
        family="concept_clip", name="JerrryNie/ConceptCLIP", revision=code,
        weights=weights, precision="fp32",
    )  # fmt: skip
    model = load_encoder(resolve(spec, runtime), runtime)
    words = {"concept_texts": ["segmented nucleus", "round nucleus"]}
    path = new_file(tmp_path / "tokens.h5", D=16, T_img=16, metadata=words)
    store_prompt_features(path, model, fill_templates(["a cell with {}"], words["concept_texts"]))
    with h5py.File(path) as file:
        group = file["templates/concept_prompts_t01"]
        assert group["text_token_features"].shape == (2, 16, 16)
        assert group["token_spans"][:].tolist() == [[3, 5], [3, 5]]
        assert file.attrs["concept_logit_bias"] == -9


@pytest.mark.parametrize(
    ("templates", "words", "says"),
    [
        (["a cell"], ["red"], "has 0 places for a word"),
        (["{} {}"], ["red"], "has 2 places"),
        (["a {}"], [], "at least 1 item"),
        ([], ["red"], "at least 1 item"),
        (["a {}"], [" "], "an empty word"),
    ],
)
def test_bad_templates_and_vocabularies_are_refused(
    templates: list[str], words: list[str], says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        fill_templates(templates, words)


def test_a_picture_is_taken_upright_and_anything_else_is_refused(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=turned)
    assert picture_from(tmp_path / "turned.jpg").size == (4, 8)
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("text.jpg", "absent.jpg"):
        with pytest.raises(RecipeError, match=f"{name} cannot be read as a picture"):
            picture_from(tmp_path / name)


class ForeignEncoder:
    """A model of somebody else's: it knows nothing of featuremill."""

    dim, token_count, token_dim = 2, 0, 0
    logit_scale, logit_bias, activation, fingerprint = 1.0, None, "softmax", "mine"

    def __init__(self, direction: float = 3.0) -> None:
        self.direction = direction

    def preprocess(self, image: Image.Image) -> Any:
        return np.zeros((3, 1, 1), np.float32)

    def encode_images(self, pixels: Any, *, tokens: bool = False) -> Any:
        pooled = np.full((len(pixels), 2), self.direction, np.float32)
        return SimpleNamespace(pooled=pooled, tokens=None)

    def encode_texts(self, texts: Any) -> Any:
        return np.tile(np.array([[1, 0]], np.float32), (len(texts), 1))


def test_any_model_will_do_that_has_the_methods(tmp_path: Path, splits: dict[str, Split]) -> None:
    path = new_file(tmp_path / "foreign.h5", D=2, T_img=0)
    assert encode_and_store_image_features(path, ForeignEncoder(), {"val": splits["val"]}) == 4
    store_prompt_features(path, ForeignEncoder(), fill_templates(["a {}"], ["cell", "bone"]))
    validate_h5(path, show=False)
    np.testing.assert_allclose(rows_of(path)["image_features"], 0.5**0.5, atol=1e-3)


def test_features_without_direction_are_refused_and_nothing_of_the_batch_is_written(
    tmp_path: Path, splits: dict[str, Split]
) -> None:
    path = new_file(tmp_path / "zero.h5", D=2, T_img=0)
    for direction in (0.0, np.nan, np.inf):
        with pytest.raises(RecipeError, match=r"4 of 4 features .* of split 'val' have no dire"):
            encode_and_store_image_features(path, ForeignEncoder(direction), {"val": splits["val"]})
    assert rows_of(path)["ids"] == []


def test_both_floors_offer_the_same_functions() -> None:
    import storage.concepts
    import tasks.concepts

    for name in tasks.concepts.__all__:
        assert getattr(tasks.concepts, name) is getattr(storage.concepts, name)
    assert {"store_prompt_features", "encode_and_store_image_features"} < set(
        tasks.concepts.__all__
    )
