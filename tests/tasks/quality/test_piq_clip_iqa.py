"""CLIP-IQA by piq's model, on random weights of its own architecture."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from conf.runtime import Runtime
from tasks.compute.quality.clip_iqa import antonym_scores
from tasks.models.identity import WeightsMissing
from tasks.quality.piq_clip_iqa import clip_iqa_of, score_image
from tasks.quality.weights import find_brisque, find_clip_iqa


@pytest.fixture(scope="module")
def random_clip() -> tuple[Any, Any]:
    """Return the model of RN50's architecture with random weights, and the tokens of two texts."""
    import torch
    from piq.feature_extractors.clip import CLIP

    torch.manual_seed(0)  # the image side is RN50's, the text side a small one
    model = CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 256, 64, 1, 2).eval()
    tokens = torch.zeros(2, 77, dtype=torch.long)
    tokens[:, :4] = torch.tensor([[254, 100, 26, 255], [254, 200, 26, 255]])
    return model, tokens


@pytest.fixture(scope="module")
def ours(random_clip: tuple[Any, Any]) -> Any:
    """Return our loading of the random weights."""
    return clip_iqa_of(dict(random_clip[0].state_dict()), random_clip[1])


def test_our_loading_of_piq_scores_as_piq_does(random_clip: tuple[Any, Any], ours: Any) -> None:
    import piq
    import torch
    from piq.feature_extractors.clip import build_model

    model, tokens = random_clip
    loaded = build_model(dict(model.state_dict())).float()  # as piq's own load has it
    with (
        patch("piq.feature_extractors.clip.load", return_value=loaded),
        patch("piq.clip_iqa.download_tensor", return_value=tokens),
    ):
        theirs = piq.CLIPIQA()
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    resized, native = score_image(ours, image, 64)
    batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).float() / 255
    assert native == pytest.approx(float(theirs(batch)), rel=1e-6)
    alike = image.resize((64, 64), Image.Resampling.BICUBIC)
    assert (resized, native) == (score_image(ours, alike, 64)[1], native)
    assert resized is not None
    assert 0 < resized < 1
    assert resized != native


@pytest.mark.parametrize("size", [(3000, 4), (1, 1), (2049, 2048)])
def test_an_image_too_small_or_too_large_as_it_is_has_the_score_of_the_resize_alone(
    ours: Any, size: tuple[int, int]
) -> None:
    resized, native = score_image(ours, Image.new("RGB", size, (10, 200, 30)), 64)
    assert native is None
    assert resized is not None


def test_what_is_not_finite_is_no_score(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "logit_scale", ours.logit_scale * float("nan"))
    assert score_image(ours, Image.new("RGB", (64, 64)), 64) == (None, None)


def test_the_share_of_the_good_text_rises_with_its_cosine() -> None:
    images = np.eye(3, dtype=np.float32)[:2]
    texts = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    first, second = antonym_scores(images, texts, scale=10.0)
    assert first == pytest.approx(1 / (1 + np.exp(-10)))
    assert first + second == pytest.approx(1)


def test_the_score_of_several_pairs_is_their_mean() -> None:
    images = np.eye(3, dtype=np.float32)[:1]
    texts = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    (score,) = antonym_scores(images, texts, scale=10.0)
    assert score == pytest.approx((1 / (1 + np.exp(-10)) + 0.5) / 2)


def test_missing_weights_say_where_they_were_looked_for_and_where_they_are(tmp_path: Path) -> None:
    runtime = Runtime(store=tmp_path / "store", models=tmp_path / "models")
    with pytest.raises(WeightsMissing, match=r"BRISQUE by piq are missing.*models/piq.*Download"):
        find_brisque("piq", None, runtime)
    with pytest.raises(WeightsMissing, match=r"RN50\.pt and clipiqa_tokens\.pt"):
        find_clip_iqa(tmp_path, runtime)
