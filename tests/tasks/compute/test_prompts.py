import hashlib

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tasks.compute.prompts import ensemble, texts_hash

DRAW = np.random.default_rng(0)


def open_clip_s_rule(features: np.ndarray, templates: int) -> np.ndarray:
    """Restate open_clip/zero_shot_classifier.py: normalise, mean(dim=1), divide by the norm."""
    wide = features.astype(np.float64).reshape(-1, templates, features.shape[1])
    units = wide / np.linalg.norm(wide, axis=-1, keepdims=True)
    mean = units.mean(axis=1)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True))


@pytest.mark.parametrize("templates", [1, 2, 6])
def test_an_ensemble_is_what_open_clip_makes(templates: int) -> None:
    features = DRAW.normal(size=(5 * templates, 16)).astype(np.float32)
    made = ensemble(features, templates)
    assert made.shape == (5, 16)
    np.testing.assert_allclose(made, open_clip_s_rule(features, templates), atol=1e-6)


def test_a_long_prompt_feature_counts_no_more_than_a_short_one() -> None:
    features = np.array([[100, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(ensemble(features, 2), [[0.5**0.5, 0.5**0.5]], atol=1e-6)


def test_features_of_one_word_lie_together() -> None:
    features = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    np.testing.assert_allclose(ensemble(features, 2), [[1, 0], [0, 1]])


def test_templates_that_cancel_out_leave_no_feature() -> None:
    with pytest.raises(ValueError, match="1 of 1 features have no direction"):
        ensemble(np.array([[1, 0], [-1, 0]], np.float32), 2)


def test_features_of_another_type_are_an_error_under_test() -> None:
    with pytest.raises(TypeCheckError):
        ensemble(np.ones((2, 3)), 1)


def test_the_hash_is_over_utf8_bytes_each_followed_by_nul() -> None:
    assert texts_hash(["a", "ü"]) == hashlib.sha256(b"a\0\xc3\xbc\0").hexdigest()


def test_the_hash_of_the_seed_s_first_prompts_is_pinned() -> None:
    assert texts_hash(["a photo of photography", "a photo of landscape"]) == (
        "c53c2aa4da9460eca9fc1d00118f32e86b33e680c0b4c5e14195e4ae9a909706"
    )


def test_where_one_text_ends_is_in_the_hash() -> None:
    assert (
        len({texts_hash(texts) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""])}) == 4
    )
