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

    torch.manual_seed(0)
    model = CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 2).eval()
    tokens = torch.zeros(2, 77, dtype=torch.long)
    tokens[:, :4] = torch.tensor([[49406, 1000, 269, 49407], [49406, 2000, 269, 49407]])
    return model, tokens


def test_our_loading_of_piq_scores_as_piq_does(random_clip: tuple[Any, Any]) -> None:
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
    weights = dict(model.state_dict())
    ours = clip_iqa_of(weights, tokens)
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    resized, native = score_image(ours, image, 64)
    batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).float() / 255
    assert native == pytest.approx(float(theirs(batch)), rel=1e-6)
    assert 0 < resized < 1
    assert resized != native


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
